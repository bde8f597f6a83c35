/* What layer.c and recording.c share of HDF5: its errors as one sentence, attributes, and new files.
 *
 * HDF5 cannot recover from a write that fails (a full disk leaves it with files that it can neither flush nor
 * close), so it is not told: new files are written by a driver of our own, which keeps the first failure to
 * itself, lets HDF5 go on writing nowhere, and tells it when the file is finished.
 *
 * HDF5 reports failures on a stack of its own and prints it; hdf5_quiet() stops the printing. Source: the
 * HDF5 reference manual and file format specification, version 1.10. */
#ifndef LOOM_COMMON_HDF5_FILE_H
#define LOOM_COMMON_HDF5_FILE_H

#include <dirent.h>
#include <hdf5.h>
#include <stddef.h>
#include <stdint.h>

#include "durable_file.h"
#include "error.h"

#define HDF5_NONE ((hid_t)-1)

/* To be called before anything else of HDF5, by every thread: stop it from printing, and from tidying up at
 * exit, where it crashes if a file could not be closed. More than once does no harm. */
void hdf5_quiet(void);

/* Record "what: HDF5's own reason" and return `status`; to be called directly after the call that failed. */
int hdf5_fail(enum loom_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Close any kind of identifier but a file's and make it HDF5_NONE; harmless on HDF5_NONE. */
void hdf5_release(hid_t *id_p);

/* Have files opened with `access` although they say that somebody is writing, or tell a wrong size, as those do
 * that a killed writer left. Nothing changes in a file that is only read. -1 on failure. */
int hdf5_allow_left(hid_t access) LOOM_MUST_CHECK;

/* Whether `path` can be read (LOOM_EIO) and is an HDF5 file at all (LOOM_EDATA). */
int hdf5_check(const char *path) LOOM_MUST_CHECK;

/* Whether an entry of a folder is called NAME.h5 and is not hidden: a filter for scandir(). */
int hdf5_is_named(const struct dirent *entry);

/* A new file that is being written. */
struct hdf5_new {
    hid_t file;                   /* to be filled; HDF5_NONE: none */
    struct durable_file *durable; /* where it goes; borrowed */
    struct hdf5_sink *sink;       /* what HDF5 writes to; owned, as far as HDF5 does not hold it too */
};

#define HDF5_NEW_NONE ((struct hdf5_new){HDF5_NONE, NULL, NULL})

/* Begin to write an HDF5 file, in the newest format of HDF5 1.10, to the durable file, which is empty and outlives
 * *self. alignment: every object of the file starts at a multiple of it; 1: none. LOOM_EIO if it cannot be written;
 * on failure there is nothing to abandon. */
int hdf5_new_begin(struct hdf5_new *self, struct durable_file *durable, hsize_t alignment) LOOM_MUST_CHECK;

/* The status of something that was done with the file: a failure is LOOM_EIO with the system's reason if reading or
 * writing the file has failed, for that is why HDF5 found something wrong; else it stays as it is. */
int hdf5_new_reason(const struct hdf5_new *self, int status) LOOM_MUST_CHECK;

/* Close it and all objects of it that are open; LOOM_EIO if a write has failed. What is left to do is
 * durable_file_commit. *self is HDF5_NEW_NONE then, also on failure. */
int hdf5_new_finish(struct hdf5_new *self) LOOM_MUST_CHECK;

/* Forget it; harmless on HDF5_NEW_NONE and when repeated. */
void hdf5_new_abandon(struct hdf5_new *self);

/* Attributes of an object (file: the root). path: of the file, for messages. Text is UTF-8 of fixed
 * length. */
int hdf5_write_text(hid_t object, const char *path, const char *name, const char *text) LOOM_MUST_CHECK;
int hdf5_write_texts(hid_t object, const char *path, const char *name, const char *const *texts,
                     size_t n) LOOM_MUST_CHECK;
int hdf5_write_integer(hid_t object, const char *path, const char *name, int64_t value) LOOM_MUST_CHECK;
int hdf5_write_integers(hid_t object, const char *path, const char *name, const int64_t *values,
                        size_t n) LOOM_MUST_CHECK;
int hdf5_write_real(hid_t object, const char *path, const char *name, double value) LOOM_MUST_CHECK;

/* Give an integer that is there another value, in place. */
int hdf5_change_integer(hid_t object, const char *path, const char *name, int64_t value) LOOM_MUST_CHECK;

/* The same way back: LOOM_EDATA if missing, of another type, or not of n values. Text is cut to `size` with
 * its NUL; integers are taken as reals, not the other way round. */
int hdf5_read_text(hid_t object, const char *path, const char *name, char *text, size_t size) LOOM_MUST_CHECK;
/* n_max texts at most, each at texts + i * size, however many there are: *n. */
int hdf5_read_texts(hid_t object, const char *path, const char *name, char *texts, size_t size, size_t n_max,
                    size_t *n) LOOM_MUST_CHECK;
int hdf5_read_integers(hid_t object, const char *path, const char *name, int64_t *values,
                       size_t n) LOOM_MUST_CHECK;
int hdf5_read_real(hid_t object, const char *path, const char *name, double *value) LOOM_MUST_CHECK;

#endif
