/* The picture of a pipeline as text for Graphviz or Mermaid. */
#ifndef LOOM_TOOLS_GRAPH_H
#define LOOM_TOOLS_GRAPH_H

#include <stdio.h>

#include "pipeline.h"

/* Write the graph: a box a stage, an arrow a stream with its kind, a dotted arrow a tap. The pipeline is
 * valid. */
void graph_write_dot(const struct pipeline *pipeline, FILE *out);
void graph_write_mermaid(const struct pipeline *pipeline, FILE *out);

#endif
