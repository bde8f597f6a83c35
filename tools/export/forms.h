/* The forms in which `loom export` writes datasets. Each function makes one file, there whole or not at
 * all (durable_file.h), unless it says otherwise. LOOM_EIO if it cannot be written, LOOM_EDATA if what is
 * read is damaged. */
#ifndef LOOM_TOOLS_EXPORT_FORMS_H
#define LOOM_TOOLS_EXPORT_FORMS_H

#include <stddef.h>

#include "archive.h"

/* NumPy's format: the dataset's type and shape exactly; texts as bytes (S). */
int export_npy(const struct archive *archive, const struct table *table, const char *path) LOOM_MUST_CHECK;

/* A table with a head: the number of frame, unit or row, then the row's cells. Numbers with all the digits
 * that they have. */
int export_csv(const struct archive *archive, const struct table *table, const char *path) LOOM_MUST_CHECK;

/* Codes: a line a winner: frame, index, value. */
int export_csv_codes(const struct archive *archive, const struct table *index, const struct table *value,
                     const char *path) LOOM_MUST_CHECK;

/* Metrics: a line a pass: its number from 1, and a column a metric; empty where there is none. */
int export_csv_metrics(const struct archive *archive, const struct table *names, const struct table *values,
                       const char *path) LOOM_MUST_CHECK;

/* Frames as pictures FOLDER/NUMBER.png of `scale` pixels a number, one by one. */
int export_png_frames(const struct archive *archive, const struct table *table, const char *folder,
                      size_t scale) LOOM_MUST_CHECK;

/* The weight map of a layer file, as the stage render draws it: FOLDER/NAME.png and NAME-plain.png, with
 * NAME that of the file. scale: pixels a weight; 0: a map of about 1000 pixels. */
int export_png_layer(const char *path, const char *folder, size_t scale) LOOM_MUST_CHECK;

/* The name of a frame's picture: FOLDER/NUMBER.png. The caller frees it; NULL if memory runs out. */
char *export_png_path(const char *folder, uint64_t frame);

#endif
