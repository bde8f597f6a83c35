/* Datasets as .npy; see forms.h. */
#include <stdio.h>
#include <stdlib.h>

#include "durable_file.h"
#include "forms.h"
#include "npy_write.h"

int export_npy(const struct archive *archive, const struct table *table, const char *path)
{
    static const char letters[] = {
        [CELL_UNSIGNED] = 'u', [CELL_SIGNED] = 'i', [CELL_REAL] = 'f', [CELL_TEXT] = 'S'};
    char head[NPY_HEAD_BYTES], dtype[32];
    struct durable_file file;
    bool ordered = table->cell != CELL_TEXT && table->cell_bytes > 1;
    snprintf(dtype, sizeof dtype, "'%c%c%zu'", ordered ? '<' : '|', letters[table->cell], table->cell_bytes);
    int status = npy_head(head, dtype, table->dims, table->rank);
    if (status == LOOM_OK) {
        status = durable_file_begin(&file, path);
    }
    if (status < 0) {
        return status;
    }
    uint64_t step = table_step(table);
    void *rows = malloc((size_t)step * table->row_bytes + 1);
    status = rows == NULL ? error_set(LOOM_EINTERNAL, "out of memory for rows of %s", table->name)
                          : durable_file_write(&file, head, sizeof head);
    for (uint64_t at = 0; status == LOOM_OK && at < table->dims[0]; at += step) {
        uint64_t n = table->dims[0] - at < step ? table->dims[0] - at : step;
        status = table_read(archive, table, at, n, rows);
        if (status == LOOM_OK) {
            status = durable_file_write(&file, rows, (size_t)n * table->row_bytes);
        }
    }
    if (status == LOOM_OK) {
        status = durable_file_commit(&file);
    }
    durable_file_abandon(&file);
    free(rows);
    return status;
}
