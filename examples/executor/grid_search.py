"""joblib and scikit-learn: a search in which no fit can hang for ever or eat all memory."""

from joblib import parallel_config
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

import workflow.joblib  # noqa: F401  # makes "workflow" a backend


def main() -> None:
    samples, kinds = load_iris(return_X_y=True)
    search = GridSearchCV(SVC(), {"C": [0.1, 1, 10], "kernel": ["linear", "rbf"]})
    with parallel_config(backend="workflow", n_jobs=2, timeout=120, memory=2 << 30):
        search.fit(samples, kinds)
    print(search.best_params_, round(search.best_score_, 2))


if __name__ == "__main__":
    main()
