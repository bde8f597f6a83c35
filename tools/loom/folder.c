/* See folder.h. */
#include "folder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "run_lock.h"

#define WAIT_MS 50
#define WAKE_AFTER_MS 2000 /* then stopped stages are woken, so that they can end */
#define ASIDE_MAX 10000

static const char *inside(const struct folder *self, const char *name)
{
    return arena_format(self->arena, "%s/%s", self->path, name);
}

static int io_error(const char *path)
{
    return error_set(LOOM_EIO, "%s: %s", path, strerror(errno));
}

/* mkdir -p */
static int make_folders(struct arena *arena, const char *path)
{
    char *part = arena_copy(arena, path);
    for (char *slash = part + 1; *part; slash++) {
        bool last = !*slash;
        if (!last && *slash != '/') {
            continue;
        }
        *slash = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) {
            return io_error(part);
        }
        if (last) {
            break;
        }
        *slash = '/';
    }
    return LOOM_OK;
}

/* A folder of somebody else's: it has entries, but no pipeline.yaml and none of what is made before that. */
static bool is_foreign(const struct folder *self)
{
    static const char *const ours[] = {".",
                                       "..",
                                       "lock",
                                       "sockets",
                                       "layers",
                                       "recordings",
                                       "pictures",
                                       "checkpoints",
                                       "asked.yaml",
                                       "over.yaml",
                                       "over.yaml.part",
                                       "pipeline.yaml.part",
                                       "asked.yaml.part",
                                       "log.jsonl",
                                       "metrics.jsonl",
                                       "status.json",
                                       "status.json.part"};
    bool foreign = false;
    DIR *folder = access(inside(self, "pipeline.yaml"), F_OK) == 0 ? NULL : opendir(self->path);
    if (!folder) {
        return false;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        size_t i = 0;
        while (i < sizeof ours / sizeof *ours && strcmp(ours[i], entry->d_name) != 0) {
            i++;
        }
        foreign |= i == sizeof ours / sizeof *ours;
    }
    closedir(folder);
    return foreign;
}

/* The processes that have the lock file open, as text; wake: let those that are stopped go on. */
static const char *holders(const struct folder *self, bool wake)
{
    const char *lock = inside(self, "lock"), *list = "";
    DIR *processes = opendir("/proc");
    for (struct dirent *process; processes && (process = readdir(processes));) {
        if (!isdigit((unsigned char)process->d_name[0])) {
            continue;
        }
        DIR *files = opendir(arena_format(self->arena, "/proc/%s/fd", process->d_name));
        for (struct dirent *file; files && (file = readdir(files));) {
            char target[4096];
            ssize_t n = readlinkat(dirfd(files), file->d_name, target, sizeof target - 1);
            target[n > 0 ? n : 0] = '\0';
            pid_t pid = (pid_t)strtol(process->d_name, NULL, 10);
            if (strcmp(target, lock) != 0 || pid == getpid()) {
                continue;
            }
            list = arena_format(self->arena, "%s%s%s", list, *list ? ", " : "", process->d_name);
            if (wake) {
                kill(pid, SIGCONT);
            }
            break;
        }
        if (files) {
            closedir(files);
        }
    }
    if (processes) {
        closedir(processes);
    }
    return list;
}

/* Take the lock; while only stages of a launcher that is gone hold it, wait: they are saving. */
static int wait_for_lock(struct folder *self, int patience_ms)
{
    int64_t since = clock_ms();
    bool told = false, woken = false;
    while (flock(self->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return io_error(inside(self, "lock"));
        }
        pid_t launcher = run_lock_launcher(self->lock);
        int64_t waited = clock_ms() - since;
        if (launcher && launcher != getpid()) {
            return error_set(LOOM_EPEER,
                             "%s: another loom run (process %d) works there: wait for it, or choose "
                             "another folder with --dir",
                             self->shown, (int)launcher);
        }
        if (waited >= patience_ms) {
            return error_set(LOOM_EPEER,
                             "%s: stages of an earlier run are still alive there (processes %s): end them",
                             self->shown, holders(self, false));
        }
        if (waited >= 500 && !told) {
            fprintf(stderr, "loom: waiting for stages of an earlier run in %s to save\n", self->shown);
        }
        told |= waited >= 500;
        if (waited >= WAKE_AFTER_MS && !woken) {
            holders(self, true);
        }
        woken |= waited >= WAKE_AFTER_MS;
        usleep(WAIT_MS * 1000);
    }
    return LOOM_OK;
}

/* Open and lock RUN/lock. Returns 1 if the folder was moved away meanwhile: try again. */
static int take_lock(struct folder *self, int patience_ms)
{
    struct stat mine, there;
    const char *path = inside(self, "lock");
    self->lock = open(path, O_RDWR | O_CREAT, 0666); /* not close-on-exec: the stages hold it too */
    if (self->lock < 0) {
        return io_error(path);
    }
    int status = wait_for_lock(self, patience_ms);
    if (!status && (fstat(self->lock, &mine) != 0 || stat(path, &there) != 0 || mine.st_ino != there.st_ino ||
                    mine.st_dev != there.st_dev)) {
        status = 1;
    }
    if (!status && (ftruncate(self->lock, 0) != 0 || dprintf(self->lock, "%d\n", (int)getpid()) < 0)) {
        status = io_error(path);
    }
    if (status) {
        folder_unlock(self);
    }
    return status;
}

/* The folder of a run, or of a sweep, as it is meant to be: or nothing yet. */
static int check_kind(const struct folder *self)
{
    bool sweep = access(inside(self, "over.yaml"), F_OK) == 0;
    if (is_foreign(self)) {
        return error_set(LOOM_EUSAGE,
                         "%s has files in it, but is not the folder of a run: choose another with --dir",
                         self->shown);
    }
    if (access(inside(self, "pipeline.yaml"), F_OK) != 0 || sweep == (self->over != NULL)) {
        return LOOM_OK;
    }
    return error_set(LOOM_EUSAGE, "%s is the folder of a %s: choose another with --dir", self->shown,
                     sweep ? "sweep" : "single run, not of a sweep");
}

int folder_lock(struct folder *self, struct arena *arena, const char *shown, const char *over,
                int patience_ms)
{
    *self = (struct folder){.arena = arena, .shown = shown, .over = over, .lock = -1};
    for (int tries = 0; tries < 100; tries++) {
        int status = make_folders(arena, shown);
        if (status) {
            return status;
        }
        char *real = realpath(shown, NULL);
        if (!real) {
            return io_error(shown);
        }
        self->path = arena_copy(arena, real);
        free(real);
        status = check_kind(self);
        if (status) {
            return status;
        }
        status = take_lock(self, patience_ms);
        if (status <= 0) {
            return status;
        }
    }
    return error_set(LOOM_EPEER, "%s: somebody else begins runs there all the time", shown);
}

void folder_unlock(struct folder *self)
{
    if (self->lock >= 0) {
        close(self->lock);
    }
    self->lock = -1;
}

/* The whole of a small file, or NULL. */
static const char *read_small(struct arena *arena, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        return NULL;
    }
    char *text = arena_alloc(arena, YAML_TREE_BYTES_MAX + 1);
    size_t n = fread(text, 1, YAML_TREE_BYTES_MAX, file);
    text[n] = '\0';
    fclose(file);
    return text;
}

static bool begins_with(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && path[n] == '/';
}

/* Put paths into this folder as the recorded pipeline has them. */
static void take_recorded_paths(const struct folder *self, struct pipeline *pipeline,
                                const struct pipeline *recorded)
{
    for (size_t s = 0; s < pipeline->n && s < recorded->n; s++) {
        for (size_t i = 0; i < pipeline->stages[s].n_settings; i++) {
            struct setting *setting = &pipeline->stages[s].settings[i];
            if (setting->param->type != SPEC_PATH || !begins_with(setting->text, self->path)) {
                continue;
            }
            for (size_t j = 0; j < recorded->stages[s].n_settings; j++) {
                if (strcmp(recorded->stages[s].settings[j].param->name, setting->param->name) == 0) {
                    setting->text = recorded->stages[s].settings[j].text;
                }
            }
        }
    }
}

enum folder_state folder_compare(struct folder *self, struct pipeline *pipeline)
{
    struct pipeline recorded;
    struct diagnostics diagnostics = {.arena = self->arena};
    const char *file = inside(self, "pipeline.yaml"), *text = pipeline_text(pipeline, true);
    if (access(file, F_OK) != 0) {
        return FOLDER_NEW;
    }
    const char *over = self->over ? read_small(self->arena, inside(self, "over.yaml")) : NULL;
    if (self->over && (!over || strcmp(over, self->over) != 0)) {
        return FOLDER_OTHER;
    }
    self->asked = read_small(self->arena, inside(self, "asked.yaml"));
    pipeline_read(&recorded, self->arena, &diagnostics, file, NULL, 0);
    if (diagnostics.errors) {
        return FOLDER_OTHER;
    }
    self->recorded = pipeline_text(&recorded, true);
    bool as_asked = self->asked && strcmp(self->asked, text) == 0;
    if (as_asked) {
        take_recorded_paths(self, pipeline, &recorded);
    } else {
        self->asked = NULL;
    }
    if (!as_asked && strcmp(self->recorded, text) != 0) {
        return FOLDER_OTHER;
    }
    return access(inside(self, "checkpoints/finished"), F_OK) == 0 ? FOLDER_FINISHED : FOLDER_CONTINUE;
}

int folder_move_aside(struct folder *self, struct pipeline *pipeline, const char **moved)
{
    const char *text = pipeline_text(pipeline, true), *asked = self->asked, *aside = NULL, *old = self->path;
    for (int i = 1; i < ASIDE_MAX; i++) {
        struct stat status;
        aside = arena_format(self->arena, "%s.%d", old, i);
        *moved = arena_format(self->arena, "%s.%d", self->shown, i);
        if (lstat(aside, &status) != 0) {
            break;
        }
    }
    if (rename(old, aside) != 0) {
        return error_set(LOOM_EIO, "%s cannot be moved aside to %s: %s", old, aside, strerror(errno));
    }
    for (size_t s = 0; s < pipeline->n; s++) {
        for (size_t i = 0; i < pipeline->stages[s].n_settings; i++) {
            struct setting *setting = &pipeline->stages[s].settings[i];
            if (setting->param->type == SPEC_PATH && begins_with(setting->text, old)) {
                setting->text = arena_format(self->arena, "%s%s", aside, setting->text + strlen(old));
            }
        }
    }
    folder_unlock(self);
    int status = folder_lock(self, self->arena, self->shown, self->over, 0);
    if (!status && (asked || strcmp(text, pipeline_text(pipeline, true)) != 0)) {
        self->asked = asked ? asked : text;
    }
    return status;
}

/* Write a file whole: beside its place, to disk, then renamed. */
static int write_whole(const struct folder *self, const char *name, const char *head, const char *text)
{
    const char *path = inside(self, name);
    char *part = arena_format(self->arena, "%s.part", path);
    FILE *file = fopen(part, "we");
    if (!file) {
        return io_error(part);
    }
    bool written = fprintf(file, "%s%s", head, text) >= 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
    written = fclose(file) == 0 && written;
    if (!written || rename(part, path) != 0) {
        return io_error(path);
    }
    *strrchr(part, '/') = '\0';
    int folder = open(part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        return io_error(part);
    }
    int status = fsync(folder) == 0 ? LOOM_OK : io_error(part);
    close(folder);
    return status;
}

int folder_write(const struct folder *self, const char *name, const char *text)
{
    return write_whole(self, name, "", text);
}

/* Remove the files in a subfolder, but for one. */
static void remove_files(const struct folder *self, const char *name, const char *but)
{
    DIR *folder = opendir(inside(self, name));
    if (!folder) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (strcmp(entry->d_name, but) != 0) {
            unlinkat(dirfd(folder), entry->d_name, 0); /* fails on . and .., and on folders: not ours */
        }
    }
    closedir(folder);
}

void folder_clear_sockets(struct folder *self)
{
    remove_files(self, "sockets", "");
}

int folder_prepare(struct folder *self, const struct pipeline *pipeline)
{
    static const char *const parts[] = {"layers", "recordings", "pictures", "checkpoints", "sockets"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (mkdir(inside(self, parts[i]), 0777) != 0 && errno != EEXIST) {
            return io_error(inside(self, parts[i]));
        }
    }
    if (chmod(inside(self, "sockets"), 0700) != 0) {
        return io_error(inside(self, "sockets"));
    }
    folder_clear_sockets(self);
    int status = self->asked ? folder_write(self, "asked.yaml", self->asked) : LOOM_OK;
    if (!status && self->over) {
        status = folder_write(self, "over.yaml", self->over);
    }
    return status ? status
                  : write_whole(self, "pipeline.yaml",
                                "# Written by loom: the pipeline of this folder, as it is run.\n",
                                pipeline_text(pipeline, false));
}

int folder_finish(struct folder *self)
{
    int status = write_whole(self, "checkpoints/finished", "", "");
    if (status) {
        return status;
    }
    remove_files(self, "checkpoints", "finished");
    folder_clear_sockets(self);
    return LOOM_OK;
}
