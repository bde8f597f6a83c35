/* View: what loom top shows of a status, as lines of a screen of any width. */
#ifndef LOOM_TOOLS_TOP_VIEW_H
#define LOOM_TOOLS_TOP_VIEW_H

#include "screen.h"
#include "watched.h"

/* The head: the run, its state and time, the sentence. */
void view_head(struct screen *screen, const struct watched *watched);

/* A line a stage, from the stage number `first` on, as many as leave `spare` lines; then how many are not shown.
 * Columns for which there is no room are left out, the least important first. Returns how many are shown. */
size_t view_stages(struct screen *screen, const struct watched *watched, size_t first, int spare);

/* The newest metrics of the stages that have any, until `spare` lines are left. */
void view_metrics(struct screen *screen, const struct watched *watched, int spare);

#endif
