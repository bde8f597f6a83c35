/* The table of a sweep: for every member what varied, the last metrics of its stages, and how long it took. */
#ifndef LOOM_TOOLS_SWEEP_TABLE_H
#define LOOM_TOOLS_SWEEP_TABLE_H

#include <stdio.h>

#include "sweep_plan.h"

struct table;

/* Make the table from the members' journals of metrics; in the plan's arena. */
struct table *table_new(const struct plan *plan);

/* As comma-separated values with a line of titles; numbers in full. */
void table_write_csv(const struct table *self, FILE *out);

/* As Markdown, columns aligned so that it reads well as plain text too. */
void table_write_markdown(const struct table *self, FILE *out);

/* Either into text in the arena. */
const char *table_text(const struct table *self, void (*write)(const struct table *, FILE *));

#endif
