/* See hdf5_file.h. */
#include "hdf5_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

#define H5FD_LOOM_VALUE 300 /* of the driver, in HDF5 1.14: one of those for testing */
#define REASON_BYTES 512
#define TEXT_BYTES_MAX ((size_t)16 << 20) /* of a text attribute that is read */

void hdf5_quiet(void)
{
    static atomic_flag begun = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&begun)) {
        H5dont_atexit();
    }
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* Keeps the innermost entry of the error stack: the one that says what really happened. Of those about system
 * calls only the system's own words. */
static herr_t keep_innermost(unsigned n, const H5E_error2_t *entry, void *text)
{
    if (n != 0 || entry->desc == NULL) {
        return 0;
    }
    static const char mark[] = "error message = '";
    const char *reason = strstr(entry->desc, mark);
    reason = reason == NULL ? entry->desc : reason + strlen(mark);
    snprintf(text, REASON_BYTES, "%.*s", (int)strcspn(reason, "'\n"), reason);
    return 0;
}

int hdf5_fail(enum loom_status status, const char *format, ...)
{
    char reason[REASON_BYTES] = "no reason given";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, reason);
    H5Eclear2(H5E_DEFAULT);
    char what[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return error_set(status, "%s: %s (HDF5)", what, reason);
}

void hdf5_release(hid_t *id_p)
{
    if (*id_p >= 0) {
        H5Idec_ref(*id_p);
    }
    *id_p = HDF5_NONE;
}

int hdf5_allow_left(hid_t access)
{
    const hbool_t yes = true;
    return H5Pset(access, "clear_status_flags", &yes) < 0 || H5Pset(access, "skip_eof_check", &yes) < 0 ? -1
                                                                                                        : 0;
}

int hdf5_check(const char *path)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return error_set(LOOM_EIO, "cannot open %s: %s", path, strerror(errno));
    }
    int failed = fstat(fd, &about);
    close(fd);
    if (failed) {
        return error_set(LOOM_EIO, "cannot look at %s: %s", path, strerror(errno));
    }
    if (!S_ISREG(about.st_mode)) {
        return error_set(LOOM_EIO, "%s is not a file", path);
    }
    if (about.st_size == 0) {
        return error_set(LOOM_EDATA, "%s is empty, not an HDF5 file; move it away or name another", path);
    }
    htri_t is_hdf5 = H5Fis_hdf5(path);
    if (is_hdf5 < 0) {
        return hdf5_fail(LOOM_EIO, "cannot read %s", path);
    }
    if (is_hdf5 == 0) {
        return error_set(LOOM_EDATA, "%s is not an HDF5 file; move it away or name another", path);
    }
    return LOOM_OK;
}

int hdf5_is_named(const struct dirent *entry)
{
    const char *const name = entry->d_name;
    const size_t n = strlen(name);
    return n > 3 && name[0] != '.' && strcmp(name + n - 3, ".h5") == 0;
}

/* ---- the driver of new files ---- */

/* Where a new file goes. Its writer and HDF5 hold it together, for HDF5 may keep a file open that the writer is done
 * with: because objects of it are open, or because closing it has failed. */
struct hdf5_sink {
    int fd;      /* of the durable file; -1: the writer is done with it, and what still comes goes nowhere */
    int failure; /* errno of the first access that failed; 0: none has */
    size_t holders; /* the last one frees it */
};

static void sink_release(struct hdf5_sink *self)
{
    if (--self->holders == 0) {
        free(self);
    }
}

static void sink_fail(struct hdf5_sink *self, int failure)
{
    self->failure = self->failure != 0 ? self->failure : failure;
}

/* What HDF5 calls a file of this driver. */
struct driven {
    H5FD_t base; /* HDF5's own */
    struct hdf5_sink *sink;
    haddr_t end;     /* of what HDF5 has given out */
    haddr_t written; /* end of what has been written */
};

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t most)
{
    (void)name;
    (void)flags;
    (void)most;
    struct hdf5_sink *const *sink = H5Pget_driver_info(access);
    struct driven *file = sink == NULL ? NULL : calloc(1, sizeof *file);
    if (file != NULL) {
        file->sink = *sink;
        file->sink->holders++;
    }
    return (H5FD_t *)file;
}

static herr_t driver_close(H5FD_t *file)
{
    sink_release(((struct driven *)file)->sink);
    free(file);
    return 0;
}

static herr_t driver_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t driver_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driven *)file)->end;
}

static herr_t driver_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t end)
{
    (void)type;
    ((struct driven *)file)->end = end;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driven *)file)->written;
}

/* What has not been written, or could not be, reads as 0. */
static herr_t driver_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t bytes, void *to)
{
    (void)type;
    (void)transfer;
    struct hdf5_sink *sink = ((const struct driven *)file)->sink;
    for (size_t got = 0; got < bytes;) {
        ssize_t n = sink->fd < 0 ? 0 : pread(sink->fd, (char *)to + got, bytes - got, (off_t)(at + got));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            sink_fail(sink, errno);
        }
        if (n <= 0) {
            memset((char *)to + got, 0, bytes - got);
            break;
        }
        got += (size_t)n;
    }
    return 0;
}

static herr_t driver_write(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t bytes,
                           const void *from)
{
    (void)type;
    (void)transfer;
    struct driven *file = (struct driven *)base;
    struct hdf5_sink *sink = file->sink;
    for (size_t put = 0; sink->fd >= 0 && sink->failure == 0 && put < bytes;) {
        ssize_t n = pwrite(sink->fd, (const char *)from + put, bytes - put, (off_t)(at + put));
        if (n > 0) {
            put += (size_t)n;
        } else if (n == 0 || errno != EINTR) { /* 0: no reason given, and no progress to be had */
            sink_fail(sink, n == 0 ? EIO : errno);
        }
    }
    file->written = at + bytes > file->written ? at + bytes : file->written;
    return 0;
}

/* When the file is closed: it ends where HDF5 says, though nothing may have been written there. */
static herr_t driver_truncate(H5FD_t *base, hid_t transfer, hbool_t closing)
{
    (void)transfer;
    (void)closing;
    struct driven *file = (struct driven *)base;
    struct hdf5_sink *sink = file->sink;
    if (sink->fd >= 0 && sink->failure == 0 && ftruncate(sink->fd, (off_t)file->end) < 0) {
        sink_fail(sink, errno);
    }
    file->written = file->end;
    return 0;
}

static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = H5FD_LOOM_VALUE,
#endif
    .name = "loom",
    .maxaddr = (haddr_t)INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG, /* what is still open of a file is closed with it */
    .fapl_size = sizeof(struct hdf5_sink *),
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* Begin the file as HDF5 sees it; -1 if HDF5 cannot. */
static int create_file(struct hdf5_new *self, hsize_t alignment)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE),
          id = H5FDregister(&driver);
    int failed = access < 0 || creation < 0 || id < 0 || H5Pset_driver(access, id, &self->sink) < 0 ||
                 H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_LATEST) < 0 ||
                 H5Pset_obj_track_times(creation, 0) < 0; /* the same content gives the same file */
    if (!failed && alignment > 1) {
        failed = H5Pset_alignment(access, 1, alignment) < 0 || H5Pset_meta_block_size(access, 0) < 0 ||
                 H5Pset_small_data_block_size(access, 0) < 0;
    }
    if (!failed) {
        self->file = H5Fcreate(self->durable->path, H5F_ACC_TRUNC, creation, access);
    }
    hdf5_release(&creation);
    hdf5_release(&access);
    hdf5_release(&id);
    return self->file < 0 ? -1 : 0;
}

int hdf5_new_begin(struct hdf5_new *self, struct durable_file *durable, hsize_t alignment)
{
    hdf5_quiet();
    *self = (struct hdf5_new){HDF5_NONE, durable, calloc(1, sizeof *self->sink)};
    if (self->sink == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory while beginning the file %s", durable->path);
    }
    *self->sink = (struct hdf5_sink){.fd = durable->fd, .holders = 1};
    if (create_file(self, alignment) < 0) {
        int status = hdf5_fail(LOOM_EINTERNAL, "cannot begin the file %s", durable->path);
        status = hdf5_new_reason(self, status);
        hdf5_new_abandon(self);
        return status;
    }
    return LOOM_OK;
}

int hdf5_new_reason(const struct hdf5_new *self, int status)
{
    return status == LOOM_OK || self->sink == NULL || self->sink->failure == 0
               ? status
               : error_set(LOOM_EIO, "cannot write the file %s: %s", self->durable->path,
                           strerror(self->sink->failure));
}

int hdf5_new_finish(struct hdf5_new *self)
{
    hid_t file = self->file;
    int status = LOOM_OK;
    self->file = HDF5_NONE;
    if (H5Fclose(file) < 0) {
        status = hdf5_fail(LOOM_EINTERNAL, "cannot finish the file %s", self->durable->path);
    } else if (self->sink->failure != 0 || self->sink->holders > 1) { /* HDF5 has not closed it */
        status =
            error_set(LOOM_EINTERNAL, "cannot finish the file %s: it is still in use", self->durable->path);
    }
    status = hdf5_new_reason(self, status);
    hdf5_new_abandon(self);
    return status;
}

void hdf5_new_abandon(struct hdf5_new *self)
{
    if (self->file >= 0) {
        H5Fclose(self->file);
    }
    if (self->sink != NULL) {
        self->sink->fd = -1;
        sink_release(self->sink);
    }
    *self = HDF5_NEW_NONE;
}

/* ---- attributes ---- */

/* Text of up to `length` bytes. Not of variable length, though h5py makes a str of that by itself: it lies in
 * a heap without checksum, and HDF5 crashes when that is damaged. */
static hid_t text_type(size_t length)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, length + 1) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        hdf5_release(&type);
    }
    return type;
}

/* rank 0: a scalar; 1: n values. */
static int write_attribute(hid_t object, const char *path, const char *name, hid_t file_type,
                           hid_t memory_type, int rank, hsize_t n, const void *values)
{
    int status = LOOM_OK;
    hid_t attribute = HDF5_NONE;
    hid_t space = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &n, NULL);
    if (space >= 0) {
        attribute = H5Acreate2(object, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
    }
    if (attribute < 0 || H5Awrite(attribute, memory_type, values) < 0) {
        status = hdf5_fail(LOOM_EINTERNAL, "cannot write the attribute %s of %s", name, path);
    }
    hdf5_release(&attribute);
    hdf5_release(&space);
    return status;
}

int hdf5_write_text(hid_t object, const char *path, const char *name, const char *text)
{
    hid_t type = text_type(strlen(text));
    int status = write_attribute(object, path, name, type, type, 0, 1, text);
    hdf5_release(&type);
    return status;
}

int hdf5_write_texts(hid_t object, const char *path, const char *name, const char *const *texts, size_t n)
{
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        length = strlen(texts[i]) > length ? strlen(texts[i]) : length;
    }
    char *rows = calloc(n, length + 1);
    if (rows == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for the attribute %s of %s", name, path);
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(rows + i * (length + 1), texts[i], strlen(texts[i]));
    }
    hid_t type = text_type(length);
    int status = write_attribute(object, path, name, type, type, 1, n, rows);
    hdf5_release(&type);
    free(rows);
    return status;
}

int hdf5_write_integer(hid_t object, const char *path, const char *name, int64_t value)
{
    return write_attribute(object, path, name, H5T_STD_I64LE, H5T_NATIVE_INT64, 0, 1, &value);
}

int hdf5_write_integers(hid_t object, const char *path, const char *name, const int64_t *values, size_t n)
{
    return write_attribute(object, path, name, H5T_STD_I64LE, H5T_NATIVE_INT64, 1, n, values);
}

int hdf5_change_integer(hid_t object, const char *path, const char *name, int64_t value)
{
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    int failed = attribute < 0 || H5Awrite(attribute, H5T_NATIVE_INT64, &value) < 0;
    hdf5_release(&attribute);
    return failed ? hdf5_fail(LOOM_EIO, "cannot change the attribute %s of %s", name, path) : LOOM_OK;
}

int hdf5_write_real(hid_t object, const char *path, const char *name, double value)
{
    return write_attribute(object, path, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 0, 1, &value);
}

/* Open an attribute that must have n values, and its type. */
static int open_attribute(hid_t object, const char *path, const char *name, size_t n, hid_t *attribute,
                          hid_t *type)
{
    *attribute = *type = HDF5_NONE;
    htri_t there = H5Aexists(object, name);
    if (there == 0) {
        return error_set(LOOM_EDATA, "%s has no attribute %s", path, name);
    }
    if (there > 0) {
        *attribute = H5Aopen(object, name, H5P_DEFAULT);
    }
    if (*attribute < 0) {
        return hdf5_fail(LOOM_EDATA, "cannot read the attribute %s of %s", name, path);
    }
    hid_t space = H5Aget_space(*attribute);
    hssize_t points = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    hdf5_release(&space);
    if (points < 0 || (*type = H5Aget_type(*attribute)) < 0) {
        int status = hdf5_fail(LOOM_EDATA, "cannot read the attribute %s of %s", name, path);
        hdf5_release(attribute);
        return status;
    }
    if ((uint64_t)points != n) {
        hdf5_release(attribute);
        hdf5_release(type);
        return error_set(LOOM_EDATA, "the attribute %s of %s has %lld values instead of %zu", name, path,
                         (long long)points, n);
    }
    return LOOM_OK;
}

static int read_numbers(hid_t object, const char *path, const char *name, hid_t memory_type, void *values,
                        size_t n)
{
    hid_t attribute, type;
    int status = open_attribute(object, path, name, n, &attribute, &type);
    if (status != LOOM_OK) {
        return status;
    }
    H5T_class_t class = H5Tget_class(type);
    if (class != H5T_INTEGER && (class != H5T_FLOAT || memory_type == H5T_NATIVE_INT64)) {
        status = error_set(LOOM_EDATA, "the attribute %s of %s is not %s", name, path,
                           memory_type == H5T_NATIVE_INT64 ? "an integer" : "a number");
    } else if (H5Aread(attribute, memory_type, values) < 0) {
        status = hdf5_fail(LOOM_EDATA, "cannot read the attribute %s of %s", name, path);
    }
    hdf5_release(&attribute);
    hdf5_release(&type);
    return status;
}

int hdf5_read_integers(hid_t object, const char *path, const char *name, int64_t *values, size_t n)
{
    return read_numbers(object, path, name, H5T_NATIVE_INT64, values, n);
}

int hdf5_read_real(hid_t object, const char *path, const char *name, double *value)
{
    return read_numbers(object, path, name, H5T_NATIVE_DOUBLE, value, 1);
}

/* Read a text of fixed length: padded with NULs or, by Fortran, with spaces. */
static int read_fixed(hid_t attribute, hid_t type, char *text, size_t size)
{
    size_t length = H5Tget_size(type);
    if (length == 0 || length > TEXT_BYTES_MAX) {
        return -1;
    }
    char *whole = calloc(length + 1, 1);
    if (whole == NULL || H5Aread(attribute, type, whole) < 0) {
        free(whole);
        return -1;
    }
    length = strlen(whole);
    if (H5Tget_strpad(type) == H5T_STR_SPACEPAD) {
        while (length > 0 && whole[length - 1] == ' ') {
            whole[--length] = '\0';
        }
    }
    snprintf(text, size, "%s", whole);
    free(whole);
    return 0;
}

int hdf5_read_texts(hid_t object, const char *path, const char *name, char *texts, size_t size, size_t n_max,
                    size_t *n)
{
    int status = LOOM_OK;
    char *whole = NULL;
    hid_t attribute = H5Aexists(object, name) > 0 ? H5Aopen(object, name, H5P_DEFAULT) : HDF5_NONE;
    hid_t type = attribute < 0 ? HDF5_NONE : H5Aget_type(attribute);
    hid_t space = attribute < 0 ? HDF5_NONE : H5Aget_space(attribute);
    hssize_t points = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    size_t length = type < 0 ? 0 : H5Tget_size(type);
    *n = 0;
    if (points < 0 || (uint64_t)points > n_max || H5Tget_class(type) != H5T_STRING ||
        H5Tis_variable_str(type) > 0 || length == 0 || length > TEXT_BYTES_MAX / n_max) {
        H5Eclear2(H5E_DEFAULT);
        status = error_set(LOOM_EDATA, "%s has no attribute %s of up to %zu texts", path, name, n_max);
    } else if ((whole = calloc((size_t)points * length + 1, 1)) == NULL ||
               H5Aread(attribute, type, whole) < 0) {
        status = hdf5_fail(LOOM_EDATA, "cannot read the attribute %s of %s", name, path);
    } else {
        *n = (size_t)points;
        for (size_t i = 0; i < *n; i++) {
            snprintf(texts + i * size, size, "%.*s", (int)length, whole + i * length);
        }
    }
    free(whole);
    hdf5_release(&space);
    hdf5_release(&type);
    hdf5_release(&attribute);
    return status;
}

/* Read a text of variable length, as h5py writes them. */
static int read_variable(hid_t attribute, hid_t type, char *text, size_t size)
{
    char *whole = NULL;
    if (H5Aread(attribute, type, &whole) < 0) {
        return -1;
    }
    snprintf(text, size, "%s", whole == NULL ? "" : whole);
    H5free_memory(whole);
    return 0;
}

int hdf5_read_text(hid_t object, const char *path, const char *name, char *text, size_t size)
{
    hid_t attribute, type;
    int status = open_attribute(object, path, name, 1, &attribute, &type);
    if (status != LOOM_OK) {
        return status;
    }
    if (H5Tget_class(type) != H5T_STRING) {
        status = error_set(LOOM_EDATA, "the attribute %s of %s is not text", name, path);
    } else if ((H5Tis_variable_str(type) > 0 ? read_variable : read_fixed)(attribute, type, text, size) < 0) {
        status = hdf5_fail(LOOM_EDATA, "cannot read the attribute %s of %s", name, path);
    }
    hdf5_release(&attribute);
    hdf5_release(&type);
    return status;
}
