/* See archive.h. */
#include "archive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hdf5_file.h"
#include "recording_read.h"

#define STEP_BYTES ((size_t)4 << 20)      /* read at once, about */
#define ROW_BYTES_MAX ((uint64_t)1 << 28) /* of a row */
#define TABLES_MAX 4096

/* ---- opening ---- */

/* The cells' type in memory. LOOM_EDATA if it is none that can be exported. */
static int choose_type(struct table *table, const char *path)
{
    hid_t type = H5Dget_type(table->dataset);
    H5T_class_t class = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    table->cell_bytes = type < 0 ? 0 : H5Tget_size(type);
    bool sized =
        table->cell_bytes == 1 || table->cell_bytes == 2 || table->cell_bytes == 4 || table->cell_bytes == 8;
    table->cell = class == H5T_STRING ? CELL_TEXT : class == H5T_FLOAT ? CELL_REAL : CELL_UNSIGNED;
    if (class == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_2) {
        table->cell = CELL_SIGNED;
    }
    bool known = (class == H5T_STRING && H5Tis_variable_str(type) == 0 && table->cell_bytes > 0) ||
                 (class == H5T_INTEGER && sized) || (class == H5T_FLOAT && sized && table->cell_bytes >= 4);
    table->type = known ? H5Tcopy(type) : HDF5_NONE;
    bool ordered = class == H5T_STRING || table->type < 0 || H5Tset_order(table->type, H5T_ORDER_LE) >= 0;
    hdf5_release(&type);
    return table->type >= 0 && ordered
               ? LOOM_OK
               : error_set(LOOM_EDATA,
                           "the dataset %s of %s holds neither numbers of 1 to 8 bytes nor texts "
                           "of fixed length",
                           table->name, path);
}

/* Whether a part of a name is "..": names become paths of files. */
static bool leads_away(const char *name)
{
    for (const char *part = name; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        if (strcmp(part, "..") == 0 || strncmp(part, "../", 3) == 0) {
            return true;
        }
    }
    return false;
}

static int open_table(struct table *table, hid_t file, const char *path, const char *name)
{
    hsize_t dims[H5S_MAX_RANK];
    *table = (struct table){.dataset = HDF5_NONE, .type = HDF5_NONE};
    if ((size_t)snprintf(table->name, sizeof table->name, "%s", name) >= sizeof table->name) {
        return error_set(LOOM_EDATA, "%s: a dataset's name is longer than %d bytes", path,
                         TABLE_NAME_BYTES - 1);
    }
    if (leads_away(name)) {
        return error_set(LOOM_EDATA,
                         "%s: the dataset '%s' cannot be exported: its name leads to another folder", path,
                         name);
    }
    table->dataset = H5Dopen2(file, name, H5P_DEFAULT);
    hid_t space = table->dataset < 0 ? HDF5_NONE : H5Dget_space(table->dataset);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, dims, NULL);
    hdf5_release(&space);
    if (rank < 0) {
        return hdf5_fail(LOOM_EDATA, "the dataset %s of %s is damaged", name, path);
    }
    if (rank > TABLE_RANK_MAX) {
        return error_set(LOOM_EDATA, "the dataset %s of %s has %d dimensions; at most %d can be exported",
                         name, path, rank, TABLE_RANK_MAX);
    }
    int status = choose_type(table, path);
    if (status < 0) {
        return status;
    }
    table->rank = rank == 0 ? 1 : (size_t)rank;
    table->dims[0] = 1; /* a single value is a row of one */
    uint64_t cells = 1;
    for (size_t d = 0; d < (size_t)rank; d++) {
        table->dims[d] = dims[d];
        cells = d > 0 && cells <= ROW_BYTES_MAX ? cells * dims[d] : cells;
    }
    if (cells > ROW_BYTES_MAX || cells * table->cell_bytes > ROW_BYTES_MAX) {
        return error_set(LOOM_EDATA, "the dataset %s of %s has rows of more than %ju MiB", name, path,
                         (uintmax_t)(ROW_BYTES_MAX >> 20));
    }
    table->row_cells = (size_t)cells;
    table->row_bytes = (size_t)cells * table->cell_bytes;
    return LOOM_OK;
}

struct visit {
    struct archive *archive;
    int status;
};

/* Called by HDF5 for every object of the file, in the order of their names. */
static herr_t visit_object(hid_t file, const char *name, const H5O_info_t *about, void *argument)
{
    struct visit *visit = argument;
    struct archive *archive = visit->archive;
    if (about->type != H5O_TYPE_DATASET) {
        return 0;
    }
    struct table *grown =
        archive->n < TABLES_MAX ? realloc(archive->tables, (archive->n + 1) * sizeof *archive->tables) : NULL;
    if (grown == NULL) {
        visit->status = error_set(LOOM_EDATA, "%s has more than %d datasets", archive->path, TABLES_MAX);
        return -1;
    }
    archive->tables = grown;
    visit->status = open_table(&grown[archive->n], file, archive->path, name);
    archive->n++;
    return visit->status < 0 ? -1 : 0;
}

/* Whether `name` lies directly in `group`. */
static bool lies_in(const char *name, const char *group)
{
    size_t n = strlen(group);
    return n > 0 && strncmp(name, group, n) == 0 && name[n] == '/' && strchr(name + n + 1, '/') == NULL;
}

/* What a recording's own reader says of it. */
struct streams {
    size_t n;
    uint64_t first;
    uint64_t rows[RECORDING_STREAMS_MAX];
    char groups[RECORDING_STREAMS_MAX][TABLE_NAME_BYTES];
};

/* Ask it. It opens the file in its own way, and not beside another. */
static int read_streams(struct streams *streams, const char *path)
{
    struct recording_reader *reader = NULL;
    int status = recording_reader_new(&reader, path);
    if (status < 0) {
        return status;
    }
    streams->first = recording_reader_first(reader);
    for (streams->n = 0; streams->n < recording_reader_streams(reader); streams->n++) {
        streams->rows[streams->n] = recording_reader_rows(reader, streams->n);
        snprintf(streams->groups[streams->n], TABLE_NAME_BYTES, "%s",
                 recording_reader_group(reader, streams->n));
    }
    recording_reader_destroy(&reader);
    return LOOM_OK;
}

/* Tell the streams' datasets, and limit them to rows that are certain. */
static void note_streams(struct archive *self, const struct streams *streams)
{
    for (size_t t = 0; t < self->n; t++) {
        struct table *table = &self->tables[t];
        for (size_t s = 0; s < streams->n; s++) {
            if (lies_in(table->name, streams->groups[s])) {
                table->stream = true;
                table->first_frame = streams->first;
                table->dims[0] = streams->rows[s] < table->dims[0] ? streams->rows[s] : table->dims[0];
            }
        }
    }
}

/* Open the file itself: one that is being written, or whose writer was killed, with SWMR only, or, if that was
 * closing it, whatever it says. */
static int open_file(struct archive *self)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    int status = LOOM_OK;
    if (access < 0 || H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_LATEST) < 0) {
        status = hdf5_fail(LOOM_EINTERNAL, "cannot prepare the opening of %s", self->path);
        goto done;
    }
    self->file = H5Fopen(self->path, H5F_ACC_RDONLY, access);
    if (self->file < 0) {
        H5Eclear2(H5E_DEFAULT);
        self->file = H5Fopen(self->path, H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, access);
    }
    if (self->file < 0 && hdf5_allow_left(access) >= 0) {
        H5Eclear2(H5E_DEFAULT);
        self->file = H5Fopen(self->path, H5F_ACC_RDONLY, access);
    }
    if (self->file < 0) {
        status = hdf5_fail(LOOM_EDATA, "%s is damaged", self->path);
    }
done:
    hdf5_release(&access);
    return status;
}

static int open_tables(struct archive *self)
{
    struct visit visit = {self, LOOM_OK};
    if (H5Ovisit2(self->file, H5_INDEX_NAME, H5_ITER_INC, visit_object, &visit, H5O_INFO_BASIC) < 0) {
        return visit.status < 0 ? visit.status : hdf5_fail(LOOM_EDATA, "%s is damaged", self->path);
    }
    return self->n > 0 ? LOOM_OK : error_set(LOOM_EDATA, "%s has no datasets", self->path);
}

int archive_open(struct archive *self, const char *path)
{
    struct streams streams = {.n = 0};
    hdf5_quiet();
    *self = (struct archive){.path = strdup(path), .file = HDF5_NONE};
    if (self->path == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory");
    }
    int status = hdf5_check(path);
    if (status == LOOM_OK) {
        status = open_file(self);
    }
    self->recording = status == LOOM_OK && H5Aexists(self->file, "streams") > 0;
    if (self->recording) {
        H5Fclose(self->file);
        self->file = HDF5_NONE;
        status = read_streams(&streams, path);
        if (status == LOOM_OK) {
            status = open_file(self);
        }
    }
    if (status == LOOM_OK) {
        status = open_tables(self);
    }
    if (status == LOOM_OK) {
        note_streams(self, &streams);
    }
    return status;
}

void archive_close(struct archive *self)
{
    for (size_t t = 0; t < self->n; t++) {
        hdf5_release(&self->tables[t].dataset);
        hdf5_release(&self->tables[t].type);
    }
    if (self->path != NULL && self->file >= 0) {
        H5Fclose(self->file);
    }
    free(self->tables);
    free(self->path);
    *self = (struct archive){.file = HDF5_NONE};
}

const struct table *archive_find(const struct archive *self, const char *name)
{
    for (size_t t = 0; t < self->n; t++) {
        if (strcmp(self->tables[t].name, name) == 0) {
            return &self->tables[t];
        }
    }
    return NULL;
}

/* ---- reading ---- */

int archive_select(struct archive *self, uint64_t from, uint64_t to)
{
    if (!self->recording) {
        return error_set(LOOM_EUSAGE, "%s has no frames: it is no recording; leave out --frames", self->path);
    }
    for (size_t t = 0; t < self->n; t++) {
        struct table *table = &self->tables[t];
        uint64_t first = table->first_frame, end = first + table->dims[0];
        if (!table->stream) {
            continue;
        }
        uint64_t last = to == UINT64_MAX && end > first ? end - 1 : to;
        if (from > last || from < first || last >= end) {
            return end == first
                       ? error_set(LOOM_EUSAGE, "%s of %s has no frames yet", table->name, self->path)
                       : error_set(LOOM_EUSAGE,
                                   "%s of %s holds frames %" PRIu64 "..%" PRIu64 ", so not all that --frames "
                                   "asks for",
                                   table->name, self->path, first, end - 1);
        }
        table->begin = from - first;
        table->dims[0] = last - from + 1;
    }
    return LOOM_OK;
}

int table_read(const struct archive *self, const struct table *table, uint64_t from, uint64_t n, void *data)
{
    hsize_t start[TABLE_RANK_MAX] = {table->begin + from}, count[TABLE_RANK_MAX] = {n};
    int status = LOOM_OK;
    for (size_t d = 1; d < table->rank; d++) {
        count[d] = table->dims[d];
    }
    if (n == 0 || table->row_cells == 0) {
        return LOOM_OK;
    }
    hid_t space = H5Dget_space(table->dataset), memory = H5Screate_simple((int)table->rank, count, NULL);
    bool scalar = space >= 0 && H5Sget_simple_extent_ndims(space) == 0;
    if (space < 0 || memory < 0 ||
        (!scalar && H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0) ||
        H5Dread(table->dataset, table->type, memory, space, H5P_DEFAULT, data) < 0) {
        status = hdf5_fail(LOOM_EDATA, "rows %" PRIu64 " to %" PRIu64 " of %s in %s are damaged",
                           table->begin + from, table->begin + from + n - 1, table->name, self->path);
    }
    hdf5_release(&memory);
    hdf5_release(&space);
    return status;
}

uint64_t table_step(const struct table *table)
{
    return table->row_bytes > 0 && table->row_bytes < STEP_BYTES ? STEP_BYTES / table->row_bytes : 1;
}
