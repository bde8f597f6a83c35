/* See layer.h. */
#include "layer.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "durable_file.h"
#include "hdf5_file.h"

#define CHUNK_BYTES ((size_t)1 << 20) /* of a dataset's chunks, about */

/* A dataset may claim this many bytes whatever the file's size (values never written take no space), beyond
 * it no more than the best that deflate can do. */
#define CLAIM_BYTES_FREE ((uint64_t)64 << 20)
#define CLAIM_RATIO_MAX 1032

struct layer_writer {
    struct durable_file file;
    struct hdf5_new hdf5; /* the same as HDF5 sees it */
};

struct layer_reader {
    hid_t file;
    char *path;
    uint64_t bytes; /* size of the file */
};

static hid_t file_type(enum layer_dtype dtype)
{
    switch (dtype) {
    case LAYER_U1:
        return H5T_STD_U8LE;
    case LAYER_U4:
        return H5T_STD_U32LE;
    case LAYER_U8:
        return H5T_STD_U64LE;
    case LAYER_F4:
        return H5T_IEEE_F32LE;
    case LAYER_F8:
        return H5T_IEEE_F64LE;
    }
    return HDF5_NONE;
}

static hid_t memory_type(enum layer_dtype dtype)
{
    switch (dtype) {
    case LAYER_U1:
        return H5T_NATIVE_UINT8;
    case LAYER_U4:
        return H5T_NATIVE_UINT32;
    case LAYER_U8:
        return H5T_NATIVE_UINT64;
    case LAYER_F4:
        return H5T_NATIVE_FLOAT;
    case LAYER_F8:
        return H5T_NATIVE_DOUBLE;
    }
    return HDF5_NONE;
}

/* ---- writing ---- */

int layer_writer_new(struct layer_writer **self_p, const char *path)
{
    *self_p = NULL;
    struct layer_writer *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory while beginning the file %s", path);
    }
    self->hdf5 = HDF5_NEW_NONE;
    int status = durable_file_begin(&self->file, path);
    if (status != LOOM_OK) {
        free(self);
        return status;
    }
    status = hdf5_new_begin(&self->hdf5, &self->file, 1);
    if (status != LOOM_OK) {
        layer_writer_destroy(&self);
    }
    *self_p = self;
    return status;
}

/* Chunks of about CHUNK_BYTES, of whole rows where rows are small enough. */
static void choose_chunk(hsize_t *chunk, const size_t *dims, size_t rank, size_t value_bytes)
{
    double bytes = (double)value_bytes;
    for (size_t d = 0; d < rank; d++) {
        chunk[d] = dims[d] == 0 ? 1 : dims[d];
        bytes *= (double)chunk[d];
    }
    for (size_t d = 0; d < rank && bytes > (double)CHUNK_BYTES; d++) {
        double row_bytes = bytes / (double)chunk[d];
        double rows = (double)CHUNK_BYTES / row_bytes;
        chunk[d] = rows < 1 ? 1 : (hsize_t)rows;
        bytes = row_bytes * (double)chunk[d];
    }
}

/* Chunked, checksummed, no times (the same content gives the same file). */
static hid_t creation_list(const hsize_t *chunk, size_t rank)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    if (list >= 0 && (H5Pset_chunk(list, (int)rank, chunk) < 0 || H5Pset_fletcher32(list) < 0 ||
                      H5Pset_obj_track_times(list, 0) < 0)) {
        hdf5_release(&list);
    }
    return list;
}

/* Make the groups that a dataset of that name lies in, where there are none; without times too. */
static int make_groups(hid_t file, const char *name)
{
    char group[128];
    for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        snprintf(group, sizeof group, "%.*s", (int)(slash - name), name);
        htri_t there = H5Lexists(file, group, H5P_DEFAULT);
        if (there == 0) {
            hid_t list = H5Pcreate(H5P_GROUP_CREATE), made = HDF5_NONE;
            if (list >= 0 && H5Pset_obj_track_times(list, 0) >= 0) {
                made = H5Gcreate2(file, group, H5P_DEFAULT, list, H5P_DEFAULT);
            }
            there = made < 0 ? -1 : 1;
            hdf5_release(&made);
            hdf5_release(&list);
        }
        if (there < 0) {
            return -1;
        }
    }
    return 0;
}

int layer_write(struct layer_writer *self, const char *name, enum layer_dtype dtype, const size_t *dims,
                size_t rank, const void *data)
{
    if (rank < 1 || rank > LAYER_RANK_MAX) {
        return error_set(LOOM_EINTERNAL, "dataset %s of %s has %zu dimensions; 1 to %d are possible", name,
                         self->file.path, rank, LAYER_RANK_MAX);
    }
    int status = LOOM_OK;
    hid_t space = HDF5_NONE, creation = HDF5_NONE, dataset = HDF5_NONE;
    hsize_t size[LAYER_RANK_MAX], chunk[LAYER_RANK_MAX];
    size_t values = 1;
    for (size_t d = 0; d < rank; d++) {
        size[d] = dims[d];
        values *= dims[d];
    }
    choose_chunk(chunk, dims, rank, H5Tget_size(file_type(dtype)));
    if ((space = H5Screate_simple((int)rank, size, NULL)) < 0 ||
        (creation = creation_list(chunk, rank)) < 0 || make_groups(self->hdf5.file, name) < 0) {
        goto fail;
    }
    dataset = H5Dcreate2(self->hdf5.file, name, file_type(dtype), space, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (dataset < 0) {
        goto fail;
    }
    if (values > 0 && H5Dwrite(dataset, memory_type(dtype), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
        goto fail;
    }
    goto done;
fail:
    status = hdf5_fail(LOOM_EINTERNAL, "cannot write the dataset %s of %s", name, self->file.path);
    status = hdf5_new_reason(&self->hdf5, status);
done:
    hdf5_release(&dataset);
    hdf5_release(&creation);
    hdf5_release(&space);
    return status;
}

int layer_write_text(struct layer_writer *self, const char *name, const char *text)
{
    return hdf5_new_reason(&self->hdf5, hdf5_write_text(self->hdf5.file, self->file.path, name, text));
}

int layer_write_integer(struct layer_writer *self, const char *name, int64_t value)
{
    return hdf5_new_reason(&self->hdf5, hdf5_write_integer(self->hdf5.file, self->file.path, name, value));
}

int layer_write_real(struct layer_writer *self, const char *name, double value)
{
    return hdf5_new_reason(&self->hdf5, hdf5_write_real(self->hdf5.file, self->file.path, name, value));
}

int layer_write_integers(struct layer_writer *self, const char *name, const int64_t *values, size_t n)
{
    return hdf5_new_reason(&self->hdf5,
                           hdf5_write_integers(self->hdf5.file, self->file.path, name, values, n));
}

int layer_writer_commit(struct layer_writer **self_p)
{
    struct layer_writer *self = *self_p;
    int status = hdf5_new_finish(&self->hdf5);
    if (status == LOOM_OK) {
        status = durable_file_commit(&self->file);
    }
    if (status == LOOM_OK) {
        layer_writer_destroy(self_p);
    }
    return status;
}

void layer_writer_destroy(struct layer_writer **self_p)
{
    struct layer_writer *self = *self_p;
    if (self == NULL) {
        return;
    }
    hdf5_new_abandon(&self->hdf5);
    durable_file_abandon(&self->file);
    free(self);
    *self_p = NULL;
}

/* ---- reading ---- */

int layer_reader_new(struct layer_reader **self_p, const char *path)
{
    hdf5_quiet();
    *self_p = NULL;
    int status = hdf5_check(path);
    if (status != LOOM_OK) {
        return status;
    }
    struct stat about;
    struct layer_reader *self = calloc(1, sizeof *self);
    if (self == NULL || (self->path = strdup(path)) == NULL || stat(path, &about) < 0) {
        if (self != NULL) {
            free(self->path);
        }
        free(self);
        return error_set(LOOM_EINTERNAL, "out of memory while opening %s", path);
    }
    self->bytes = (uint64_t)about.st_size;
    self->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (self->file < 0) {
        status = hdf5_fail(LOOM_EDATA, "%s is damaged or still being written; take another copy of it", path);
        layer_reader_destroy(&self);
    }
    *self_p = self;
    return status;
}

void layer_reader_destroy(struct layer_reader **self_p)
{
    struct layer_reader *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->file >= 0) {
        H5Fclose(self->file);
    }
    free(self->path);
    free(self);
    *self_p = NULL;
}

const char *layer_path(const struct layer_reader *self)
{
    return self->path;
}

/* Whether every step of the path `name` exists: H5Lexists wants its last step's group to be there. */
static int exists(hid_t file, const char *name)
{
    char step[256];
    size_t length = strlen(name);
    if (length == 0 || length >= sizeof step) {
        return 0;
    }
    for (size_t i = 1; i <= length; i++) {
        if (name[i] != '/' && name[i] != '\0') {
            continue;
        }
        memcpy(step, name, i);
        step[i] = '\0';
        if (H5Lexists(file, step, H5P_DEFAULT) <= 0) {
            H5Eclear2(H5E_DEFAULT);
            return 0;
        }
    }
    return 1;
}

int layer_has(const struct layer_reader *self, const char *name)
{
    if (!exists(self->file, name)) {
        return 0;
    }
    hid_t object = H5Oopen(self->file, name, H5P_DEFAULT);
    int is_dataset = object >= 0 && H5Iget_type(object) == H5I_DATASET;
    hdf5_release(&object);
    return is_dataset;
}

/* "40 x 400", for messages. */
static void format_dims(char *text, size_t size, const hsize_t *dims, size_t rank)
{
    size_t used =
        (size_t)snprintf(text, size, rank == 0 ? "a single value" : "%llu", (unsigned long long)dims[0]);
    for (size_t d = 1; d < rank && used < size; d++) {
        used += (size_t)snprintf(text + used, size - used, " x %llu", (unsigned long long)dims[d]);
    }
}

/* Open a dataset of numbers and tell its shape. actual: H5S_MAX_RANK numbers. */
static int open_dataset(const struct layer_reader *self, const char *name, hid_t *dataset, hsize_t *actual,
                        size_t *rank)
{
    *dataset = HDF5_NONE;
    *rank = 0;
    memset(actual, 0, H5S_MAX_RANK * sizeof *actual);
    if (!layer_has(self, name)) {
        return error_set(LOOM_EDATA, "%s has no dataset %s", self->path, name);
    }
    hid_t space = HDF5_NONE, type = HDF5_NONE;
    int status = LOOM_OK, n = -1;
    *dataset = H5Dopen2(self->file, name, H5P_DEFAULT);
    if (*dataset < 0 || (space = H5Dget_space(*dataset)) < 0 || (type = H5Dget_type(*dataset)) < 0 ||
        (n = H5Sget_simple_extent_dims(space, actual, NULL)) < 0) {
        status = hdf5_fail(LOOM_EDATA, "the dataset %s of %s is damaged", name, self->path);
        goto done;
    }
    *rank = (size_t)n;
    if (H5Tget_class(type) != H5T_INTEGER && H5Tget_class(type) != H5T_FLOAT) {
        status = error_set(LOOM_EDATA, "the dataset %s of %s does not hold numbers", name, self->path);
        goto done;
    }
    double bytes = (double)H5Tget_size(type); /* a double cannot overflow here */
    for (int d = 0; d < n; d++) {
        bytes *= (double)actual[d];
    }
    if (bytes > (double)CLAIM_BYTES_FREE && bytes / CLAIM_RATIO_MAX > (double)self->bytes) {
        status =
            error_set(LOOM_EDATA, "the dataset %s of %s claims %.3g bytes in a file of %.3g: it is damaged",
                      name, self->path, bytes, (double)self->bytes);
    }
done:
    hdf5_release(&type);
    hdf5_release(&space);
    if (status != LOOM_OK) {
        hdf5_release(dataset);
    }
    return status;
}

int layer_read_dims(const struct layer_reader *self, const char *name, size_t *dims, size_t rank)
{
    hid_t dataset;
    hsize_t actual[H5S_MAX_RANK];
    size_t actual_rank = 0;
    int status = open_dataset(self, name, &dataset, actual, &actual_rank);
    if (status != LOOM_OK) {
        return status;
    }
    hdf5_release(&dataset);
    if (actual_rank != rank) {
        return error_set(LOOM_EDATA, "the dataset %s of %s has %zu dimensions instead of %zu", name,
                         self->path, actual_rank, rank);
    }
    for (size_t d = 0; d < rank; d++) {
        dims[d] = (size_t)actual[d];
    }
    return LOOM_OK;
}

static int check_shape(const struct layer_reader *self, const char *name, const hsize_t *actual,
                       size_t actual_rank, const size_t *dims, size_t rank)
{
    hsize_t wanted[LAYER_RANK_MAX] = {0};
    int same = actual_rank == rank;
    for (size_t d = 0; d < rank && d < LAYER_RANK_MAX; d++) {
        wanted[d] = dims[d];
        same = same && actual[d] == dims[d];
    }
    if (same) {
        return LOOM_OK;
    }
    char is[128], should[128];
    format_dims(is, sizeof is, actual, actual_rank);
    format_dims(should, sizeof should, wanted, rank);
    return error_set(LOOM_EDATA,
                     "the dataset %s of %s is %s, but %s is needed; take a file of the right shape", name,
                     self->path, is, should);
}

int layer_read(const struct layer_reader *self, const char *name, enum layer_dtype dtype, const size_t *dims,
               size_t rank, void *data)
{
    hid_t dataset;
    hsize_t actual[H5S_MAX_RANK];
    size_t actual_rank = 0;
    if (rank < 1 || rank > LAYER_RANK_MAX) {
        return error_set(LOOM_EINTERNAL, "dataset %s of %s was asked for with %zu dimensions", name,
                         self->path, rank);
    }
    int status = open_dataset(self, name, &dataset, actual, &actual_rank);
    if (status != LOOM_OK) {
        return status;
    }
    status = check_shape(self, name, actual, actual_rank, dims, rank);
    if (status != LOOM_OK) {
        goto done;
    }
    hid_t type = H5Dget_type(dataset);
    H5T_class_t class = H5Tget_class(type);
    hdf5_release(&type);
    if (class == H5T_FLOAT && dtype != LAYER_F4 && dtype != LAYER_F8) {
        status = error_set(LOOM_EDATA, "the dataset %s of %s holds reals where integers are needed", name,
                           self->path);
    } else if (H5Dread(dataset, memory_type(dtype), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
        status = hdf5_fail(LOOM_EDATA, "the dataset %s of %s is damaged", name, self->path);
    }
done:
    hdf5_release(&dataset);
    return status;
}

int layer_read_text(const struct layer_reader *self, const char *name, char *text, size_t size)
{
    return hdf5_read_text(self->file, self->path, name, text, size);
}

int layer_read_integer(const struct layer_reader *self, const char *name, int64_t *value)
{
    return hdf5_read_integers(self->file, self->path, name, value, 1);
}

int layer_read_real(const struct layer_reader *self, const char *name, double *value)
{
    return hdf5_read_real(self->file, self->path, name, value);
}

int layer_read_integers(const struct layer_reader *self, const char *name, int64_t *values, size_t n)
{
    return hdf5_read_integers(self->file, self->path, name, values, n);
}
