/* See archive.h. */
#include "archive.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../render/shown.h"
#include "hdf5_file.h"
#include "log.h"
#include "recording_read.h"
#include "scene_parts.h"

#define FILES_MAX 8 /* recordings of a run that are shown */
#define PRELOADED 8 /* clips from all over a recording, in which units look for their windows */
#define PATH_BYTES 4200

/* A recording that is open. */
struct open_file {
    struct recording_reader *reader; /* NULL: a free place */
    dev_t device;
    ino_t inode;
    struct timespec changed; /* when it was last looked at */
};

/* A stream of a recording. */
struct kept {
    size_t file, number; /* which recording; which of its streams */
    size_t stream;       /* in the scene */
};

struct archive {
    struct scene *scene;
    struct open_file files[FILES_MAX];
    struct kept kept[CLIP_STREAMS_MAX];
    size_t n_kept;
    struct timespec
        layers_changed[2]; /* folders of layer files, the run's and its sweep's, when they were last read */
    bool preloaded, any;
};

/* ---- layers ---- */

static void take_layer(struct archive *self, const struct shown *shown)
{
    const struct stage_weights *weights = &shown->weights;
    struct layer_known layer = {.seq = shown->frames,
                                .pass = shown->pass,
                                .saved = true,
                                .rows = weights->rows,
                                .cols = weights->cols,
                                .grid_x = weights->grid_x,
                                .grid_y = weights->grid_y,
                                .input_width = weights->input_width,
                                .input_height = weights->input_height};
    snprintf(layer.name, sizeof layer.name, "%s", shown->name);
    snprintf(layer.stage, sizeof layer.stage, "%s", shown->stage);
    snprintf(layer.id, sizeof layer.id, "%s", shown->id);
    snprintf(layer.input, sizeof layer.input, "%s", shown->input);
    if (scene_take_weights(self->scene, &layer, weights->data) < 0) {
        log_warning("live page: %s", error_message());
    } else {
        self->any = true;
    }
}

/* Whether a file or folder has been changed since it was last looked at. */
static bool is_changed(const char *path, struct timespec *changed)
{
    struct stat about;
    if (stat(path, &about) != 0 ||
        (about.st_mtim.tv_sec == changed->tv_sec && about.st_mtim.tv_nsec == changed->tv_nsec)) {
        return false;
    }
    *changed = about.st_mtim;
    return true;
}

/* Read the layer files if any has been put there since; take: and tell the scene. A member of a sweep has links to those
 * that all share. */
static void look_at_layers(struct archive *self, bool take)
{
    char folder[PATH_BYTES], shared[PATH_BYTES];
    struct dirent **entries = NULL;
    snprintf(folder, sizeof folder, "%s/layers", self->scene->folder);
    snprintf(shared, sizeof shared, "%s/layers", self->scene->sweep);
    bool changed = is_changed(folder, &self->layers_changed[0]);
    changed = (self->scene->sweep[0] != '\0' && is_changed(shared, &self->layers_changed[1])) || changed;
    if (!changed) {
        return;
    }
    const int n = take ? scandir(folder, &entries, hdf5_is_named, alphasort) : 0;
    for (int sparse = 1; sparse >= 0; sparse--) {
        for (int i = 0; i < n; i++) {
            struct shown shown;
            if (shown_read(&shown, folder, entries[i]->d_name, sparse == 1) < 0) {
                if (sparse == 0) { /* read for the second time: said once */
                    log_warning("live page: a layer file is left out: %s", error_message());
                }
                continue;
            }
            if (shown.weights.data != NULL) {
                take_layer(self, &shown);
            }
            shown_fini(&shown);
        }
    }
    for (int i = 0; i < n; i++) {
        free(entries[i]);
    }
    free(entries);
}

/* ---- recordings ---- */

/* Frames that a stream has: from *first to before *end. None if the scene knows another stream by its name now. */
static void extent_of(const struct archive *self, const struct kept *kept, uint64_t *first, uint64_t *end)
{
    const struct recording_reader *file = self->files[kept->file].reader;
    *first = *end = 0;
    if (stream_same_form(recording_reader_info(file, kept->number),
                         &self->scene->streams[kept->stream].info)) {
        *first = recording_reader_first(file);
        *end = *first + recording_reader_rows(file, kept->number);
    }
}

/* Tell the scene what the slider can reach: the frames that all streams have; if there are none, those of the first. */
static void set_extent(struct archive *self)
{
    struct scene *scene = self->scene;
    uint64_t first = 0, end = 0, pass = 0;
    for (size_t k = 0; k < self->n_kept; k++) {
        const struct kept *kept = &self->kept[k];
        uint64_t from, to;
        extent_of(self, kept, &from, &to);
        if (from < to && first == end) {
            first = from;
            end = to;
            pass = scene->streams[kept->stream].info.pass;
        } else if ((from > first ? from : first) < (to < end ? to : end)) {
            first = from > first ? from : first;
            end = to < end ? to : end;
        }
    }
    const bool recorded = end > first;
    if (recorded != scene->recorded || first != scene->first || end - first != scene->frames ||
        pass != scene->recorded_pass) {
        scene->recorded = recorded;
        scene->first = first;
        scene->frames = end - first;
        scene->recorded_pass = pass;
        scene->changed = true;
    }
}

/* Whether another recording has this stream already. */
static bool is_kept(const struct archive *self, const char *name)
{
    for (size_t k = 0; k < self->n_kept; k++) {
        if (strcmp(self->scene->streams[self->kept[k].stream].info.name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* A place for another recording; FILES_MAX: there is none, or this one is open already. */
static size_t place_for(const struct archive *self, const struct stat *about)
{
    size_t place = FILES_MAX;
    for (size_t i = FILES_MAX; i-- > 0;) {
        const struct open_file *file = &self->files[i];
        if (file->reader == NULL) {
            place = i;
        } else if (file->device == about->st_dev && file->inode == about->st_ino) {
            return FILES_MAX;
        }
    }
    return place;
}

/* Open a recording that is not open yet. quiet: one that cannot be read may only have been begun. */
static void open_recording(struct archive *self, const char *path, bool quiet)
{
    struct recording_reader *reader = NULL;
    struct stat about;
    if (stat(path, &about) != 0) {
        about = (struct stat){.st_ino = 0}; /* it will not be opened either */
    }
    const size_t place = place_for(self, &about);
    if (place == FILES_MAX || recording_reader_new(&reader, path) < 0) {
        if (!quiet) {
            log_warning("live page: a recording is left out: %s",
                        place == FILES_MAX ? "there are too many" : error_message());
        }
        return;
    }
    self->files[place] = (struct open_file){reader, about.st_dev, about.st_ino, about.st_mtim};
    self->preloaded = false;
    for (size_t s = 0; s < recording_reader_streams(reader); s++) {
        const struct stream_info *info = recording_reader_info(reader, s);
        if (self->n_kept == CLIP_STREAMS_MAX || is_kept(self, info->name)) {
            continue;
        }
        const struct scene_stream *known = scene_find_stream(self->scene, info->name);
        const size_t stream = known != NULL && known->tapped ? (size_t)(known - self->scene->streams)
                                                             : scene_add_stream(self->scene, info);
        if (stream < CLIP_STREAMS_MAX) {
            self->kept[self->n_kept++] = (struct kept){place, s, stream};
            self->any = true;
        }
    }
}

static void open_recordings_of(struct archive *self, const char *run, bool quiet)
{
    char folder[PATH_BYTES], path[PATH_BYTES + 300];
    struct dirent **entries = NULL;
    snprintf(folder, sizeof folder, "%s/recordings", run);
    const int n = scandir(folder, &entries, hdf5_is_named, alphasort);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        open_recording(self, path, quiet);
        free(entries[i]);
    }
    free(entries);
}

/* The run's own, and what all members of its sweep share. */
static void open_recordings(struct archive *self, bool quiet)
{
    open_recordings_of(self, self->scene->folder, quiet);
    if (self->scene->sweep[0] != '\0') {
        open_recordings_of(self, self->scene->sweep, quiet);
    }
    set_extent(self);
}

/* Close a recording, with the streams that are kept of it. */
static void close_recording(struct archive *self, size_t file)
{
    size_t n = 0;
    for (size_t k = 0; k < self->n_kept; k++) {
        if (self->kept[k].file != file) {
            self->kept[n++] = self->kept[k];
        }
    }
    self->n_kept = n;
    recording_reader_destroy(&self->files[file].reader);
}

/* See how far recordings have got; those that are gone, replaced or unreadable are closed. */
static void refresh_recordings(struct archive *self)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        struct open_file *file = &self->files[i];
        struct stat about;
        if (file->reader == NULL) {
            continue;
        }
        if (stat(recording_reader_path(file->reader), &about) != 0 || about.st_dev != file->device ||
            about.st_ino != file->inode) {
            close_recording(self, i);
        } else if ((recording_reader_condition(file->reader) == RECORDING_LIVE ||
                    about.st_mtim.tv_sec != file->changed.tv_sec ||
                    about.st_mtim.tv_nsec != file->changed.tv_nsec) &&
                   recording_reader_refresh(file->reader) < 0) {
            log_warning("live page: a recording can no longer be read: %s", error_message());
            close_recording(self, i);
        } else {
            file->changed = about.st_mtim;
        }
    }
}

/* Metrics of all passes in the recordings, for runs without a metrics.jsonl, and for members of sweeps, whose own does not
 * have those of shared stages. */
static void read_metrics(struct archive *self)
{
    for (size_t k = 0; k < self->n_kept; k++) {
        const struct kept *kept = &self->kept[k];
        const struct stream_info *info = &self->scene->streams[kept->stream].info;
        uint64_t first, end;
        extent_of(self, kept, &first, &end);
        const uint64_t passes = info->pass > 0 ? end / info->pass : 1;
        for (uint64_t pass = info->pass > 0 ? first / info->pass : 0; pass < passes; pass++) {
            struct metric metrics[STREAM_METRICS_MAX];
            size_t n = 0;
            if (recording_read_metrics(self->files[kept->file].reader, kept->number, pass, metrics, &n) < 0) {
                log_warning("live page: %s", error_message());
                break;
            }
            if (n > 0 && history_add(&self->scene->history, info->name, pass + 1, metrics, n)) {
                self->any = true;
            }
        }
    }
}

/* ---- clips ---- */

/* How many of n frames from seq on are recorded, and of one pass; 0: frame seq is not. */
static size_t frames_from(const struct archive *self, uint64_t seq, size_t n)
{
    const struct scene *scene = self->scene;
    if (!scene->recorded || seq < scene->first || seq >= scene->first + scene->frames) {
        return 0;
    }
    uint64_t end = scene->first + scene->frames;
    if (scene->recorded_pass > 0) {
        const uint64_t pass_end = (seq / scene->recorded_pass + 1) * scene->recorded_pass;
        end = pass_end < end ? pass_end : end;
    }
    return end - seq < n ? (size_t)(end - seq) : n;
}

/* Read n frames of all streams that have them; *clip is empty before, and after a failure. */
static int read_clip(struct archive *self, uint64_t seq, size_t n, struct clip *clip)
{
    const uint64_t pass = self->scene->recorded_pass;
    int status = LOOM_OK;
    *clip = (struct clip){.seq = seq, .n = n, .pass = pass > 0 ? seq / pass : 0};
    for (size_t k = 0; k < self->n_kept && status == LOOM_OK; k++) {
        const struct kept *kept = &self->kept[k];
        uint64_t first, end;
        extent_of(self, kept, &first, &end);
        if (seq < first || seq + n > end) {
            continue;
        }
        struct recording_reader *file = self->files[kept->file].reader;
        struct clip_part *part = clip_add(clip, kept->stream, recording_reader_info(file, kept->number));
        status = part == NULL ? error_set(LOOM_EINTERNAL, "no memory for %zu frames", n)
                              : recording_read(file, kept->number, seq - first, n, part->fields);
    }
    if (status < 0) {
        clip_fini(clip);
    }
    return status;
}

/* Keep clips from all over the recording, so that the strongest windows of a unit are not only those looked at. */
static void preload(struct archive *self)
{
    const struct scene *scene = self->scene;
    const uint64_t step = scene->frames / PRELOADED;
    self->preloaded = true;
    for (uint64_t i = 0; i < PRELOADED && scene->recorded; i++) {
        const uint64_t seq = scene->first + i * step;
        const size_t n = frames_from(self, seq, scene_clip_frames(scene, ASK_FRAMES_MAX));
        struct clip clip;
        if (n > 0 && read_clip(self, seq, n, &clip) == LOOM_OK) {
            clip_ring_keep(&self->scene->clips, &clip);
        }
    }
}

int archive_say_clip(struct archive *self, uint64_t seq, size_t n, struct said **out)
{
    const struct scene *scene = self->scene;
    struct clip clip;
    *out = NULL;
    hdf5_quiet();     /* of this thread */
    set_extent(self); /* taps may have described other streams since */
    n = frames_from(self, seq, scene_clip_frames(scene, n));
    if (!scene->recorded) {
        return error_set(LOOM_EDATA,
                         "this run has no recording: record one with a stage {stage: record, in: [...]}");
    }
    if (n == 0) {
        return error_set(LOOM_EDATA, "frames %" PRIu64 " to %" PRIu64 " are recorded, not %" PRIu64,
                         scene->first, scene->first + scene->frames - 1, seq);
    }
    const int status = read_clip(self, seq, n, &clip);
    return status < 0 ? status : scene_take_clip(self->scene, &clip, out);
}

/* ---- from beginning to end ---- */

int archive_new(struct archive **self_p, struct scene *scene, bool layers)
{
    struct stat about;
    struct archive *self = *self_p = calloc(1, sizeof *self);
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for what the run has left");
    }
    self->scene = scene;
    if (stat(scene->folder, &about) != 0 || !S_ISDIR(about.st_mode)) {
        archive_destroy(self_p);
        return error_set(LOOM_EIO, "'%s' is no folder of a run: %s", scene->folder,
                         errno == 0 ? "not a folder" : strerror(errno));
    }
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/metrics.jsonl", scene->folder);
    open_recordings(self, false);
    look_at_layers(self, layers);
    const bool told = stat(path, &about) == 0;
    self->any = self->any || (told && about.st_size > 0);
    if (!told || scene->sweep[0] != '\0') {
        read_metrics(self);
    }
    return LOOM_OK;
}

void archive_destroy(struct archive **self_p)
{
    struct archive *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < FILES_MAX; i++) {
        recording_reader_destroy(&self->files[i].reader);
    }
    free(self);
    *self_p = NULL;
}

bool archive_has_any(const struct archive *self)
{
    return self->any;
}

void archive_look(struct archive *self)
{
    hdf5_quiet(); /* of this thread */
    refresh_recordings(self);
    open_recordings(self, true);
    look_at_layers(self, true);
    if (!self->preloaded && self->scene->recorded) {
        preload(self);
    }
}
