"""What can become of a task in the pool: every state, every move, and the one table of what is legal.

A task's state is where it stands, it is not written down a second time: in the backlog, among the waiting, among
what a seat was sent, or nowhere any more.  Three states say more than a place:

    ``doubtful``    in the backlog of a scheduler that is taking over: a worker may be running it, nobody said yet
    ``doomed``      the same, and somebody asked for its end
    ``cancelling``  sent, and somebody asked for its end: its worker is asked what it is in the middle of
    ``killing``     known to be running, and its end is ordered
"""

from __future__ import annotations

NEW = "new"
QUEUED = "queued"
DOUBTFUL = "doubtful"
DOOMED = "doomed"
WAITING = "waiting"
SENT = "sent"
CANCELLING = "cancelling"
KILLING = "killing"
GONE = "gone"

PUSH = "push"  # it arrived
RESTORE = "restore"  # it arrived, from the table of what pended under an earlier dispatcher
RUN = "run"  # it is sent to a worker
SUCCEED = "succeed"  # its attempt ended well
END = "end"  # its attempt ended otherwise, and was its last
RETRY = "retry"  # its attempt ended otherwise, and another follows
ASK = "ask"  # the pause before its next attempt is over, and the parent is to let that go
DUE = "due"  # the pause before its next attempt is over, and it was let go where it is held
TAKE_BACK = "take_back"  # its worker did not begin it, and will not
CANCEL = "cancel"  # somebody asked for its end
KILL = "kill"  # it is running and must not
ADOPT = "adopt"  # a worker that was taken over is running it
CONFIRM = "confirm"  # every worker was heard, and none is running it
EXPIRE = "expire"  # its deadline is over, or would be before its next attempt
PAUSE = "pause"  # the same, and its next attempt has to wait

TRANSITIONS = {
    (NEW, PUSH): QUEUED,
    (NEW, RESTORE): DOUBTFUL,
    (NEW, CANCEL): GONE,  # pushed after everything was cancelled
    (QUEUED, RUN): SENT,
    (QUEUED, CANCEL): GONE,
    (QUEUED, EXPIRE): GONE,
    # The three ends of a queued task: its worker began it although it was thought taken back.
    (QUEUED, SUCCEED): GONE,
    (QUEUED, END): GONE,
    (QUEUED, RETRY): WAITING,
    (DOUBTFUL, ADOPT): SENT,
    (DOUBTFUL, CONFIRM): QUEUED,
    (DOUBTFUL, CANCEL): DOOMED,
    (DOUBTFUL, SUCCEED): GONE,
    (DOUBTFUL, END): GONE,
    (DOUBTFUL, RETRY): DOUBTFUL,  # its next attempt may have begun before this was heard
    (DOUBTFUL, PAUSE): WAITING,
    (DOOMED, ADOPT): KILLING,
    (DOOMED, CONFIRM): GONE,
    (DOOMED, CANCEL): DOOMED,
    (DOOMED, SUCCEED): GONE,
    (DOOMED, END): GONE,
    (DOOMED, RETRY): DOOMED,  # the same; if it has not, it never will
    (WAITING, ASK): WAITING,
    (WAITING, DUE): QUEUED,
    (WAITING, CANCEL): GONE,
    (WAITING, EXPIRE): GONE,
    (SENT, SUCCEED): GONE,
    (SENT, END): GONE,
    (SENT, RETRY): WAITING,
    (SENT, TAKE_BACK): QUEUED,
    (SENT, CANCEL): CANCELLING,
    (CANCELLING, SUCCEED): GONE,
    (CANCELLING, END): GONE,
    (CANCELLING, TAKE_BACK): GONE,
    (CANCELLING, CANCEL): CANCELLING,
    (CANCELLING, KILL): KILLING,
    (KILLING, SUCCEED): GONE,
    (KILLING, END): GONE,
    (KILLING, TAKE_BACK): GONE,  # its worker died and denied having begun it: ended all the same
    (KILLING, CANCEL): KILLING,  # ordered once more, with a shorter grace
}


class IllegalMove(Exception):
    """The scheduler was told something that cannot follow from what it was told before: a defect of the engine.

    Never raised for what a task does.  ``state``, ``move`` and ``subject`` say what was met, with what, by whom.
    """

    def __init__(self, state: str, move: str, subject: str) -> None:
        super().__init__(state, move, subject)
        self.state = state
        self.move = move
        self.subject = subject

    def __str__(self) -> str:
        return f"{self.subject} is {self.state}: {self.move!r} cannot happen to it; please report this defect"
