/* loom-check: verifies recordings and layer files, one line a file: what it is and holds, or what is wrong
 * with it, where, and what to do. Every byte is read, every checksum compared.
 *
 * Exit codes: 0 all are sound, 64 bad usage, 65 one is damaged or is none of ours, 74 one cannot be read. */
#include <argp.h>
#include <hdf5.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "findings.h"
#include "hdf5_file.h"
#include "log.h"
#include "options.h"
#include "recording_read.h"

/* ---- findings ---- */

void findings_tell(struct findings *self, const char *format, ...)
{
    va_list arguments;
    size_t length = strlen(self->what);
    va_start(arguments, format);
    vsnprintf(self->what + length, sizeof self->what - length, format, arguments);
    va_end(arguments);
}

static void note(struct findings *self, int code, const char *text)
{
    if (self->n_problems == 0) {
        snprintf(self->problem, sizeof self->problem, "%s", text);
        self->code = code;
    }
    self->n_problems++;
}

void findings_add(struct findings *self, const char *format, ...)
{
    char text[sizeof self->problem];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    note(self, -LOOM_EDATA, text);
}

void findings_add_error(struct findings *self, int status)
{
    note(self, -status, error_message());
}

/* ---- files ---- */

#define DATASET_BYTES_MAX ((uint64_t)8 << 30) /* what claims more is damaged */

/* Open to read, never in a writer's way. left: also if a killed writer left the mark in it that it is being
 * written to, without readers. */
static hid_t open_file(const char *path, unsigned flags, bool left)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = HDF5_NONE;
    if (access >= 0 && H5Pset_metadata_read_attempts(access, 1) >= 0 &&
        H5Pset_file_locking(access, 0, 1) >= 0 && (!left || hdf5_allow_left(access) >= 0)) {
        file = H5Fopen(path, H5F_ACC_RDONLY | flags, access);
    }
    hdf5_release(&access);
    return file;
}

struct visit {
    struct findings *findings;
    uint64_t bytes_max;
};

/* Read a dataset to see whether its checksums hold. */
static herr_t visit_object(hid_t file, const char *name, const H5O_info_t *about, void *argument)
{
    const struct visit *visit = argument;
    if (about->type != H5O_TYPE_DATASET) {
        return 0;
    }
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    hid_t type = dataset < 0 ? HDF5_NONE : H5Dget_type(dataset),
          space = dataset < 0 ? HDF5_NONE : H5Dget_space(dataset);
    hssize_t points = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    size_t bytes = type < 0 ? 0 : H5Tget_size(type);
    bool sound = points >= 0 && bytes > 0 && (uint64_t)points <= DATASET_BYTES_MAX / bytes &&
                 H5Tis_variable_str(type) <= 0;
    bool passed_over = sound && (uint64_t)points * bytes > visit->bytes_max;
    void *data = sound && !passed_over ? malloc((size_t)points * bytes + 1) : NULL;
    if (!passed_over && (data == NULL || H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)) {
        findings_add_error(visit->findings, hdf5_fail(LOOM_EDATA, "/%s cannot be read", name));
    }
    free(data);
    hdf5_release(&space);
    hdf5_release(&type);
    hdf5_release(&dataset);
    return 0;
}

void check_objects(struct findings *self, const char *path, uint64_t bytes_max)
{
    struct visit visit = {self, bytes_max};
    hid_t file = open_file(path, 0, false);
    if (file < 0 || H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, visit_object, &visit, H5O_INFO_BASIC) < 0) {
        findings_add_error(self, hdf5_fail(LOOM_EDATA, "what is in it cannot be listed"));
    }
    if (file >= 0) {
        H5Fclose(file);
    }
}

enum file_kind { FILE_UNKNOWN, FILE_RECORDING, FILE_LAYER };

/* Tell by what is in it. LOOM_EIO, LOOM_EDATA if it cannot be opened. */
static int find_kind(const char *path, enum file_kind *kind)
{
    *kind = FILE_UNKNOWN;
    int status = hdf5_check(path);
    if (status != LOOM_OK) {
        return status;
    }
    hid_t file = open_file(path, H5F_ACC_SWMR_READ, false);
    if (file < 0) {
        H5Eclear2(H5E_DEFAULT);
        file = open_file(path, 0, false); /* of an older format of HDF5 */
    }
    bool left = file < 0;
    if (left) {
        H5Eclear2(H5E_DEFAULT);
        file = open_file(path, 0, true);
    }
    if (file >= 0 && (H5Lexists(file, "durable", H5P_DEFAULT) > 0 || H5Aexists(file, "streams") > 0)) {
        *kind = FILE_RECORDING;
    } else if (file >= 0 && H5Lexists(file, "weights", H5P_DEFAULT) > 0) {
        *kind = FILE_LAYER;
    }
    H5Eclear2(H5E_DEFAULT);
    if (file >= 0) {
        H5Fclose(file);
    }
    return !left || *kind == FILE_RECORDING
               ? LOOM_OK
               : error_set(LOOM_EDATA, "%s is cut off, or damaged at its beginning; take another copy", path);
}

static int check_file(const char *path)
{
    struct findings findings = {.code = 0};
    enum file_kind kind;
    int status = find_kind(path, &kind);
    if (status != LOOM_OK) {
        findings_add_error(&findings, status);
    } else if (kind == FILE_RECORDING) {
        check_recording(&findings, path);
    } else if (kind == FILE_LAYER) {
        check_layer(&findings, path);
    } else {
        findings_add(
            &findings,
            "neither a recording (/durable) nor a layer (/weights); name a file that Loom has written");
    }
    log_plain_text(stdout, path);
    fputs(findings.code == 0             ? ": ok: "
          : findings.code == -LOOM_EDATA ? ": damaged: "
                                         : ": not checked: ",
          stdout);
    log_plain_text(stdout, findings.code == 0 ? findings.what : findings.problem);
    if (findings.n_problems > 1) {
        printf(" (and %zu more)", findings.n_problems - 1);
    }
    fputc('\n', stdout);
    fflush(stdout);
    return findings.code;
}

/* ---- command line ---- */

static error_t parse(int key, char *argument, struct argp_state *state)
{
    int *code = state->input;
    if (key == ARGP_KEY_ARG) {
        int found = check_file(argument);
        *code = found > *code ? found : *code; /* that it cannot be read is worse than that it is damaged */
        return 0;
    }
    if (key == ARGP_KEY_NO_ARGS) {
        argp_error(state, "which files? name recordings or layer files, e.g. runs/topo/recordings/tape.h5");
    }
    return ARGP_ERR_UNKNOWN;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse,
        .args_doc = "FILE...",
        .doc = "Verify recordings and layer files: every checksum, length and id, and that "
               "values are what they can be. One line a file.\v"
               "Exit codes: 0 all are sound, 64 bad usage, 65 one is damaged or is none of "
               "ours, 74 one cannot be read."};
    int code = 0;
    hdf5_quiet();
    options_parse(&argp, argc, argv, 0, "check", &code);
    return code;
}
