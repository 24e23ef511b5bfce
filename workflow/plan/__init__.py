"""Pipeline to Plan: expand the matrix, order the graph, compile to InfoTask."""
