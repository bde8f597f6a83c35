/* See recording_layout.h. */
#include "recording_layout.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "durable_file.h"
#include "hdf5_file.h"

/* A chunk is about 128 KiB. Where many rows are expected it is larger, so that the blocks of HDF5's chunk
 * index (an extensible array) stay within a page: they do up to 2032 chunks. */
#define CHUNK_BYTES ((size_t)128 << 10)
#define CHUNK_BYTES_MAX ((size_t)2 << 20)
#define CHUNK_ROWS_MAX 4096
#define CHUNKS_WANTED_MAX 2000

#define METRICS_CHUNK_ROWS 16 /* passes; 16 x 16 numbers of 8 bytes are half a page */

void recording_group(char group[RECORDING_GROUP_BYTES], const struct stream_info *streams, size_t n_streams,
                     size_t s)
{
    size_t same = 0;
    for (size_t i = 0; i < n_streams; i++) {
        same += streams[i].kind == streams[s].kind;
    }
    const char *kind = stream_kind_name(streams[s].kind);
    if (same > 1) {
        snprintf(group, RECORDING_GROUP_BYTES, "%s/%s", kind, streams[s].name);
    } else {
        snprintf(group, RECORDING_GROUP_BYTES, "%s", kind);
    }
}

static hsize_t chunk_rows(size_t row_bytes, uint64_t rows)
{
    hsize_t n = 1;
    while (n < CHUNK_ROWS_MAX && 2 * n * row_bytes <= CHUNK_BYTES) {
        n *= 2;
    }
    while (rows / n > CHUNKS_WANTED_MAX && 2 * n * row_bytes <= CHUNK_BYTES_MAX) {
        n *= 2;
    }
    return n;
}

struct recording_shape recording_shape(const struct stream_info *info, size_t f, uint64_t rows)
{
    struct stream_field fields[STREAM_FIELDS_MAX];
    stream_fields(info, fields);
    struct recording_shape shape = {.rank = 2, .dims = {chunk_rows(fields[f].row_bytes, rows), 0, 0}};
    switch (info->kind) {
    case STREAM_FRAMES:
        if (f == 0) {
            shape.rank = 3;
            shape.dims[1] = info->height;
            shape.dims[2] = info->width;
            shape.type = info->dtype == STREAM_U1 ? H5T_STD_U8LE : H5T_IEEE_F32LE;
        } else {
            shape.dims[1] = 2;
            shape.type = H5T_STD_I32LE;
        }
        break;
    case STREAM_CODES:
        shape.dims[1] = info->winners;
        shape.type = f == 0 ? H5T_STD_U32LE : H5T_IEEE_F32LE;
        break;
    case STREAM_ACTIVATIONS:
    case STREAM_NONE:
    case STREAM_ANY:
        shape.dims[1] = info->grid_x * info->grid_y;
        shape.type = H5T_IEEE_F32LE;
        break;
    }
    return shape;
}

/* A chunked, checksummed dataset in `group`; its first dimension grows if `grows`, from 0. chunk: its whole
 * size otherwise. fill: the value of what was never written, or NULL for 0. */
static int create_dataset(hid_t group, const char *name, const char *path, hid_t type, int rank,
                          const hsize_t *chunk, int grows, const void *fill)
{
    int status = LOOM_OK;
    hid_t space = HDF5_NONE, creation = H5Pcreate(H5P_DATASET_CREATE), dataset = HDF5_NONE;
    hsize_t dims[3], dims_max[3];
    memcpy(dims, chunk, (size_t)rank * sizeof *dims);
    memcpy(dims_max, chunk, (size_t)rank * sizeof *dims);
    if (grows) {
        dims[0] = 0;
        dims_max[0] = H5S_UNLIMITED;
    }
    if (creation < 0 || H5Pset_chunk(creation, rank, chunk) < 0 || H5Pset_fletcher32(creation) < 0 ||
        H5Pset_obj_track_times(creation, 0) < 0 ||
        (fill != NULL && H5Pset_fill_value(creation, type, fill) < 0) ||
        (space = H5Screate_simple(rank, dims, dims_max)) < 0) {
        goto fail;
    }
    dataset = H5Dcreate2(group, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (dataset < 0) {
        goto fail;
    }
    if (!grows) { /* in the file from the start, so that it need not be made later */
        static const uint64_t
            zeros[RECORDING_METRICS * RECORDING_METRIC_BYTES / 8]; /* more than any of them needs */
        if (H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, zeros) < 0) {
            goto fail;
        }
    }
    goto done;
fail:
    status = hdf5_fail(LOOM_EINTERNAL, "cannot make the dataset %s of %s", name, path);
done:
    hdf5_release(&dataset);
    hdf5_release(&space);
    hdf5_release(&creation);
    return status;
}

/* Make a group, and those above it. */
static int create_group(hid_t file, const char *path, const char *name, hid_t *group)
{
    hid_t link = H5Pcreate(H5P_LINK_CREATE);
    *group = HDF5_NONE;
    if (link >= 0 && H5Pset_create_intermediate_group(link, 1) >= 0) {
        *group = H5Gcreate2(file, name, link, H5P_DEFAULT, H5P_DEFAULT);
    }
    int status =
        *group < 0 ? hdf5_fail(LOOM_EINTERNAL, "cannot make the group %s of %s", name, path) : LOOM_OK;
    hdf5_release(&link);
    return status;
}

static int describe(hid_t group, const char *path, const struct stream_info *info)
{
    const int64_t grid[2] = {(int64_t)info->grid_x, (int64_t)info->grid_y};
    int64_t total = info->total > INT64_MAX ? -1 : (int64_t)info->total;
    int status = hdf5_write_text(group, path, "id", info->id);
    if (status == LOOM_OK) {
        status = hdf5_write_text(group, path, "stage", info->stage);
    }
    if (status == LOOM_OK) {
        status = hdf5_write_text(group, path, "name", info->name);
    }
    if (status == LOOM_OK) {
        status = hdf5_write_text(group, path, "kind", stream_kind_name(info->kind));
    }
    if (status == LOOM_OK) {
        status = hdf5_write_integer(group, path, "pass", (int64_t)info->pass);
    }
    if (status == LOOM_OK) {
        status = hdf5_write_integer(group, path, "total", total);
    }
    if (status == LOOM_OK) {
        status = hdf5_write_text(group, path, "body", info->body);
    }
    if (status == LOOM_OK) {
        status = hdf5_write_integer(group, path, "repeats", info->repeats ? 1 : 0);
    }
    if (status == LOOM_OK) {
        status = hdf5_write_integer(group, path, "frames", -1); /* until it is closed */
    }
    if (status == LOOM_OK && info->kind != STREAM_FRAMES) {
        status = hdf5_write_integers(group, path, "grid", grid, 2);
    }
    if (status == LOOM_OK && info->layer[0] != '\0') {
        status = hdf5_write_text(group, path, "layer", info->layer);
    }
    return status;
}

static int create_stream(hid_t file, const char *path, const struct stream_info *info, const char *name,
                         uint64_t first)
{
    uint64_t rows = info->total == UINT64_MAX || info->total < first ? 0 : info->total - first;
    struct stream_field fields[STREAM_FIELDS_MAX];
    size_t n_fields = stream_fields(info, fields);
    hid_t group;
    int status = create_group(file, path, name, &group);
    if (status == LOOM_OK) {
        status = describe(group, path, info);
    }
    for (size_t f = 0; status == LOOM_OK && f < n_fields; f++) {
        struct recording_shape shape = recording_shape(info, f, rows);
        status = create_dataset(group, fields[f].name, path, shape.type, shape.rank, shape.dims, 1, NULL);
    }
    hdf5_release(&group);
    return status;
}

/* New datasets cannot be added while there are readers, and what metrics there are shows only at the end of
 * the first pass: so the columns are there from the start, and get their names when they come. */
static int create_metrics(hid_t file, const char *path, const struct stream_info *info)
{
    const hsize_t names[1] = {RECORDING_METRICS};
    const hsize_t values[2] = {METRICS_CHUNK_ROWS, RECORDING_METRICS};
    const double unknown = NAN;
    char name[RECORDING_GROUP_BYTES];
    snprintf(name, sizeof name, "metrics/%s", info->name);
    hid_t group = HDF5_NONE, text = H5Tcopy(H5T_C_S1);
    int status = LOOM_OK;
    if (text < 0 || H5Tset_size(text, RECORDING_METRIC_BYTES) < 0) {
        status = hdf5_fail(LOOM_EINTERNAL, "cannot make the group %s of %s", name, path);
    }
    if (status == LOOM_OK) {
        status = create_group(file, path, name, &group);
    }
    if (status == LOOM_OK) {
        status = create_dataset(group, "names", path, text, 1, names, 0, NULL);
    }
    if (status == LOOM_OK) {
        status = create_dataset(group, "values", path, H5T_IEEE_F64LE, 2, values, 1, &unknown);
    }
    hdf5_release(&group);
    hdf5_release(&text);
    return status;
}

static int create_root(hid_t file, const char *path, const struct stream_info *streams, size_t n_streams,
                       uint64_t first, const char *text)
{
    const hsize_t durable[1] = {n_streams};
    char groups[RECORDING_STREAMS_MAX][RECORDING_GROUP_BYTES];
    const char *names[RECORDING_STREAMS_MAX];
    int status = hdf5_write_text(file, path, "program", "loom");
    for (size_t s = 0; status == LOOM_OK && s < n_streams; s++) {
        recording_group(groups[s], streams, n_streams, s);
        names[s] = groups[s];
        status = create_stream(file, path, &streams[s], groups[s], first);
        if (status == LOOM_OK && streams[s].pass > 0) {
            status = create_metrics(file, path, &streams[s]);
        }
    }
    if (status == LOOM_OK) {
        status = hdf5_write_texts(file, path, "streams", names, n_streams);
    }
    if (status == LOOM_OK) {
        status = hdf5_write_text(file, path, "version", LOOM_VERSION);
    }
    if (status == LOOM_OK) {
        status = hdf5_write_text(file, path, "pipeline", text);
    }
    if (status == LOOM_OK) {
        status = hdf5_write_integer(file, path, "first", (int64_t)first);
    }
    if (status == LOOM_OK) {
        status = create_dataset(file, "durable", path, H5T_STD_U64LE, 1, durable, 0, NULL);
    }
    if (status == LOOM_OK) {
        status = create_dataset(file, "used_bytes", path, H5T_STD_U64LE, 1, (const hsize_t[]){1}, 0, NULL);
    }
    return status;
}

int recording_create(const char *path, const struct stream_info *streams, size_t n_streams, uint64_t first,
                     const char *text)
{
    for (size_t s = 0; s < n_streams; s++) {
        for (size_t i = 0; i < s; i++) {
            if (strcmp(streams[s].name, streams[i].name) == 0) {
                return error_set(LOOM_EDATA,
                                 "two streams for %s are called %s; record one of them in another file", path,
                                 streams[s].name);
            }
        }
    }
    struct durable_file file;
    struct hdf5_new hdf5 = HDF5_NEW_NONE;
    int status = durable_file_begin(&file, path);
    if (status != LOOM_OK) {
        return status;
    }
    status = hdf5_new_begin(&hdf5, &file, RECORDING_ALIGNMENT);
    if (status == LOOM_OK) {
        status = hdf5_new_reason(&hdf5, create_root(hdf5.file, path, streams, n_streams, first, text));
    }
    if (status == LOOM_OK) {
        status = hdf5_new_finish(&hdf5);
    }
    if (status == LOOM_OK) {
        status = durable_file_commit(&file);
    }
    hdf5_new_abandon(&hdf5);
    durable_file_abandon(&file);
    return status;
}
