/* Datasets as tables of text; see forms.h. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "durable_file.h"
#include "forms.h"

/* A durable file with a stdio stream on it. */
struct sheet {
    struct durable_file file;
    FILE *out;
};

static int sheet_begin(struct sheet *self, const char *path)
{
    self->out = NULL;
    int status = durable_file_begin(&self->file, path);
    if (status < 0) {
        return status;
    }
    int fd = dup(self->file.fd);
    self->out = fd < 0 ? NULL : fdopen(fd, "w");
    if (self->out == NULL) {
        status = error_set(LOOM_EIO, "cannot write %s: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        durable_file_abandon(&self->file);
    }
    return status;
}

/* Put it in its place if all went well so far (`status`), else remove it. */
static int sheet_end(struct sheet *self, int status)
{
    errno = 0;
    bool written = ferror(self->out) == 0;
    written = fclose(self->out) == 0 && written;
    if (status == LOOM_OK && !written) {
        status = error_set(LOOM_EIO, "cannot write %s: %s", self->file.path,
                           errno != 0 ? strerror(errno) : "the disk may be full");
    }
    if (status == LOOM_OK) {
        status = durable_file_commit(&self->file);
    }
    durable_file_abandon(&self->file);
    return status;
}

/* ---- cells ---- */

static uint64_t cell_unsigned(const struct table *table, const uint8_t *cell)
{
    uint64_t value = 0;
    memcpy(&value, cell, table->cell_bytes); /* little-endian, as this machine */
    return value;
}

static int64_t cell_signed(const struct table *table, const uint8_t *cell)
{
    const unsigned unused = 64 - 8 * (unsigned)table->cell_bytes;
    return (int64_t)(cell_unsigned(table, cell) << unused) >> unused;
}

static double cell_real(const struct table *table, const uint8_t *cell)
{
    float single;
    double value;
    if (table->cell_bytes == sizeof single) {
        memcpy(&single, cell, sizeof single);
        return (double)single;
    }
    memcpy(&value, cell, sizeof value);
    return value;
}

/* In quotes where it needs them, as RFC 4180 has it. */
static void put_text(FILE *out, const char *text)
{
    if (text[strcspn(text, ",\"\r\n")] == '\0') {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text != '\0'; text++) {
        fputs(*text == '"' ? "\"\"" : (const char[]){*text, '\0'}, out);
    }
    fputc('"', out);
}

static void put_cell(FILE *out, const struct table *table, const uint8_t *cell)
{
    if (table->cell == CELL_UNSIGNED) {
        fprintf(out, "%" PRIu64, cell_unsigned(table, cell));
    } else if (table->cell == CELL_SIGNED) {
        fprintf(out, "%" PRId64, cell_signed(table, cell));
    } else if (table->cell == CELL_REAL) {
        fprintf(out, "%.*g", table->cell_bytes == sizeof(float) ? 9 : 17, cell_real(table, cell));
    } else {
        char *text = strndup((const char *)cell, table->cell_bytes);
        put_text(out, text == NULL ? "" : text);
        free(text);
    }
}

/* ---- tables ---- */

static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash == NULL ? name : slash + 1;
}

/* The head: what rows and columns are depends on what the dataset holds. */
static void put_head(FILE *out, const struct table *table)
{
    const char *part = last_part(table->name);
    bool weights = strcmp(table->name, "weights") == 0, picture = table->stream && table->rank == 3;
    fputs(table->stream ? "frame" : weights ? "unit" : "row", out);
    if (table->stream && strcmp(part, "at") == 0 && table->row_cells == 2) {
        fputs(",x,y\n", out);
        return;
    }
    for (size_t c = 0; c < table->row_cells; c++) {
        if (picture) {
            fprintf(out, ",y%" PRIu64 "x%" PRIu64, c / table->dims[2], c % table->dims[2]);
        } else if (table->rank == 1) {
            fprintf(out, ",%s", part);
        } else {
            fprintf(out, ",%s_%zu", weights ? "input" : strcmp(part, "data") == 0 ? "unit" : part, c);
        }
    }
    fputc('\n', out);
}

static void put_row(FILE *out, const struct table *table, uint64_t number, const uint8_t *row)
{
    fprintf(out, "%" PRIu64, number);
    for (size_t c = 0; c < table->row_cells; c++) {
        fputc(',', out);
        put_cell(out, table, row + c * table->cell_bytes);
    }
    fputc('\n', out);
}

/* The number that stands in front of row `at` of those wanted. */
static uint64_t number_of(const struct table *table, uint64_t at)
{
    return table->begin + at + (table->stream ? table->first_frame : 0);
}

int export_csv(const struct archive *archive, const struct table *table, const char *path)
{
    struct sheet sheet;
    int status = sheet_begin(&sheet, path);
    if (status < 0) {
        return status;
    }
    uint64_t step = table_step(table);
    uint8_t *rows = malloc((size_t)step * table->row_bytes + 1);
    put_head(sheet.out, table);
    if (rows == NULL) {
        status = error_set(LOOM_EINTERNAL, "out of memory for rows of %s", table->name);
        goto done;
    }
    for (uint64_t at = 0; status == LOOM_OK && at < table->dims[0] && ferror(sheet.out) == 0; at += step) {
        uint64_t n = table->dims[0] - at < step ? table->dims[0] - at : step;
        status = table_read(archive, table, at, n, rows);
        for (uint64_t r = 0; status == LOOM_OK && r < n; r++) {
            put_row(sheet.out, table, number_of(table, at + r), rows + r * table->row_bytes);
        }
    }
done:
    free(rows);
    return sheet_end(&sheet, status);
}

static int check_codes(const struct table *index, const struct table *value)
{
    return index->cell != CELL_TEXT && index->rank == 2 && value->rank == 2 &&
                   index->row_cells == value->row_cells && index->dims[0] == value->dims[0] &&
                   value->cell == CELL_REAL
               ? LOOM_OK
               : error_set(LOOM_EDATA, "%s and %s do not fit together", index->name, value->name);
}

int export_csv_codes(const struct archive *archive, const struct table *index, const struct table *value,
                     const char *path)
{
    struct sheet sheet;
    int status = check_codes(index, value);
    if (status != LOOM_OK) {
        return status;
    }
    status = sheet_begin(&sheet, path);
    if (status != LOOM_OK) {
        return status;
    }
    uint64_t step = table_step(value);
    uint8_t *units = malloc((size_t)step * index->row_bytes + 1);
    uint8_t *values = malloc((size_t)step * value->row_bytes + 1);
    fputs("frame,index,value\n", sheet.out);
    if (units == NULL || values == NULL) {
        status = error_set(LOOM_EINTERNAL, "out of memory for rows of %s", value->name);
        goto done;
    }
    for (uint64_t at = 0; status == LOOM_OK && at < value->dims[0] && ferror(sheet.out) == 0; at += step) {
        uint64_t n = value->dims[0] - at < step ? value->dims[0] - at : step;
        status = table_read(archive, index, at, n, units);
        if (status == LOOM_OK) {
            status = table_read(archive, value, at, n, values);
        }
        for (uint64_t c = 0; status == LOOM_OK && c < n * value->row_cells; c++) {
            fprintf(sheet.out, "%" PRIu64 ",", number_of(index, at + c / value->row_cells));
            put_cell(sheet.out, index, units + c * index->cell_bytes);
            fputc(',', sheet.out);
            put_cell(sheet.out, value, values + c * value->cell_bytes);
            fputc('\n', sheet.out);
        }
    }
done:
    free(units);
    free(values);
    return sheet_end(&sheet, status);
}

/* A line of metrics: those columns that have a name. */
static void put_metrics(FILE *out, const struct table *names, const char *texts, const struct table *values,
                        const uint8_t *row)
{
    for (size_t c = 0; c < values->row_cells; c++) {
        double value = cell_real(values, row + c * values->cell_bytes);
        if (texts[c * names->cell_bytes] == '\0') {
            continue;
        }
        fputc(',', out);
        if (!isnan(value)) {
            fprintf(out, "%.17g", value);
        }
    }
    fputc('\n', out);
}

int export_csv_metrics(const struct archive *archive, const struct table *names, const struct table *values,
                       const char *path)
{
    struct sheet sheet;
    if (names->cell != CELL_TEXT || names->rank != 1 || values->cell != CELL_REAL || values->rank != 2 ||
        names->dims[0] != values->row_cells) {
        return error_set(LOOM_EDATA, "%s and %s do not fit together", names->name, values->name);
    }
    int status = sheet_begin(&sheet, path);
    if (status < 0) {
        return status;
    }
    char *texts = calloc((size_t)names->dims[0] + 1, names->cell_bytes);
    uint8_t *row = malloc(values->row_bytes + 1);
    if (texts == NULL || row == NULL) {
        status = error_set(LOOM_EINTERNAL, "out of memory for metrics");
        goto done;
    }
    status = table_read(archive, names, 0, names->dims[0], texts);
    fputs("pass", sheet.out);
    for (size_t c = 0; status == LOOM_OK && c < values->row_cells; c++) {
        if (texts[c * names->cell_bytes] != '\0') {
            fputc(',', sheet.out);
            put_cell(sheet.out, names, (const uint8_t *)texts + c * names->cell_bytes);
        }
    }
    fputc('\n', sheet.out);
    for (uint64_t pass = 0; status == LOOM_OK && pass < values->dims[0]; pass++) {
        status = table_read(archive, values, pass, 1, row);
        if (status == LOOM_OK) {
            fprintf(sheet.out, "%" PRIu64, pass + 1);
            put_metrics(sheet.out, names, texts, values, row);
        }
    }
done:
    free(texts);
    free(row);
    return sheet_end(&sheet, status);
}
