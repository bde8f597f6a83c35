/* See wiring.h. */
#include "wiring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OWN_SOCKETS "ipc://sockets/" /* below the folder of the run: paths of sockets must be short */

void wires_add(struct wires *self, struct arena *arena, struct wire wire)
{
    self->items = arena_grow(arena, self->items, self->n, sizeof *self->items);
    self->items[self->n++] = wire;
}

/* Find free ports of the loopback for all streams and taps; all are held until the last is found. */
static int find_ports(struct instance *instances, size_t n_instances, struct arena *arena)
{
    int status = LOOM_OK;
    size_t n = 2 * n_instances;
    int *sockets = arena_alloc(arena, n * sizeof *sockets);
    for (size_t i = 0; i < n; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof address;
        sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (sockets[i] < 0 || bind(sockets[i], (struct sockaddr *)&address, size) != 0 ||
            getsockname(sockets[i], (struct sockaddr *)&address, &size) != 0) {
            status = error_set(LOOM_EPEER, "no free port on the loopback: %s", strerror(errno));
        }
        instances[i / 2].endpoints[i % 2] =
            arena_format(arena, "tcp://127.0.0.1:%u", ntohs(address.sin_port));
    }
    for (size_t i = 0; i < n; i++) {
        if (sockets[i] >= 0) {
            close(sockets[i]);
        }
    }
    return status;
}

static bool reads(const struct instance *reader, const struct instance *giver)
{
    for (size_t i = 0; i < reader->inputs.n; i++) {
        if (reader->inputs.items[i].giver == giver) {
            return true;
        }
    }
    return false;
}

static int check_readers(const struct instance *instances, size_t n, const struct instance *giver)
{
    size_t readers = 0;
    for (size_t i = 0; i < n; i++) {
        readers += reads(&instances[i], giver);
    }
    return readers <= WIRING_READERS_MAX
               ? LOOM_OK
               : error_set(LOOM_EUSAGE, "%zu stages read '%s', which can wait for %d: run fewer at once",
                           readers, giver->shown, WIRING_READERS_MAX);
}

int wiring_choose_endpoints(struct instance *instances, size_t n, bool tcp, struct arena *arena)
{
    int status = tcp ? find_ports(instances, n, arena) : LOOM_OK;
    for (size_t i = 0; i < n; i++) {
        struct instance *self = &instances[i];
        if (self->entry->from) {
            self->endpoints[0] = self->entry->from;
        } else if (!tcp) {
            self->endpoints[0] = arena_format(arena, OWN_SOCKETS "%s", self->entry->name);
            self->endpoints[1] = arena_format(arena, OWN_SOCKETS "%s.tap", self->entry->name);
        }
        if (!status && !self->entry->from) {
            status = check_readers(instances, n, self);
        }
    }
    return status;
}

/* The giver's endpoint from where the reader works: its own folder, or one in that of the giver. */
static const char *seen_from(const struct instance *reader, const struct wire *wire, size_t which,
                             struct arena *arena)
{
    const char *endpoint = wire->giver ? wire->giver->endpoints[which] : wire->endpoint;
    size_t own = strlen(OWN_SOCKETS), scheme = strlen("ipc://");
    if (!wire->giver || wire->giver->entry->from || strncmp(endpoint, OWN_SOCKETS, own) != 0 ||
        strcmp(reader->folder, wire->giver->folder) == 0) {
        return endpoint;
    }
    return arena_format(arena, "ipc://../%s", endpoint + scheme);
}

struct arguments {
    struct arena *arena;
    char **items;
    size_t n;
};

static void push(struct arguments *self, const char *text)
{
    self->items = arena_grow(self->arena, self->items, self->n, sizeof *self->items);
    self->items[self->n++] = text ? arena_copy(self->arena, text) : NULL;
}

static void push_wires(struct arguments *self, const struct instance *reader, const struct wires *wires,
                       const char *option, size_t which)
{
    for (size_t i = 0; i < wires->n; i++) {
        push(self, option);
        push(self, seen_from(reader, &wires->items[i], which, self->arena));
    }
}

/* The command line of a stage. */
static char **make_arguments(const struct instance *instances, size_t n, const struct instance *instance,
                             struct arena *arena)
{
    struct arguments self = {.arena = arena};
    const struct entry *entry = instance->entry;
    const char *required = "";
    const char *const head[] = {arena_format(arena, "loom-%s", entry->kind),
                                "--name",
                                entry->name,
                                "--run",
                                instance->folder, /* whole, for messages that name files in it */
                                "--log",
                                "json"};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++) {
        push(&self, head[i]);
    }
    if (strcmp(instance->who, entry->name) != 0) {
        push(&self, "--who");
        push(&self, instance->who);
    }
    push_wires(&self, instance, &instance->inputs, "--in", 0);
    push_wires(&self, instance, &instance->taps, "--tap", 1);
    for (size_t i = 0; i < n; i++) {
        if (reads(&instances[i], instance)) {
            required = arena_format(arena, "%s%s%s", required, *required ? "," : "", instances[i].who);
        }
    }
    if (entry->spec->output) {
        push(&self, "--required"); /* also if there are none: then it waits for nobody */
        push(&self, required);
        push(&self, "--bind");
        push(&self, instance->endpoints[0]);
        push(&self, "--bind-tap");
        push(&self, instance->endpoints[1]);
    }
    for (size_t i = 0; i < entry->n_settings; i++) {
        push(&self, arena_format(arena, "--%s=%s", entry->settings[i].param->name, entry->settings[i].text));
    }
    push(&self, NULL);
    return self.items;
}

/* What stage of the run it is, for those who ask what limits the run. */
static void describe(struct gauge *gauge, const struct instance *instance)
{
    const struct entry *entry = instance->entry;
    gauge->kind = entry->kind;
    gauge->looks = entry_only_looks(entry);
    gauge->source = instance->inputs.n == 0;
    for (size_t i = 0; i < instance->inputs.n; i++) {
        const struct wire *wire = &instance->inputs.items[i];
        const char *endpoint = wire->giver ? wire->giver->entry->from : wire->endpoint;
        gauge->outside = endpoint ? endpoint : gauge->outside;
    }
    for (size_t i = 0; i < entry->n_settings; i++) {
        const struct setting *setting = &entry->settings[i];
        gauge->paced |=
            gauge->source && strcmp(setting->param->name, "rate") == 0 && strtod(setting->text, NULL) > 0;
    }
}

struct process *wiring_processes(struct instance *instances, size_t n, size_t *n_processes,
                                 struct arena *arena)
{
    struct process *processes = arena_alloc(arena, (n + 1) * sizeof *processes);
    struct process **of = arena_alloc(arena, (n + 1) * sizeof(struct process *));
    *n_processes = 0;
    for (size_t i = 0; i < n; i++) {
        struct instance *instance = &instances[i];
        if (instance->entry->from) {
            continue;
        }
        struct process *process = of[i] = &processes[(*n_processes)++];
        process->name = instance->entry->name;
        process->gauge.name = instance->shown;
        process->gauge.member = instance->member;
        describe(&process->gauge, instance);
        process->folder = instance->folder;
        process->journal = instance->journal;
        process->program = instance->entry->spec->program;
        process->argv = make_arguments(instances, n, instance, arena);
        process->looks = entry_only_looks(instance->entry);
        process->reads_stdin = entry_reads_stdin(instance->entry);
        process->n_inputs = instance->inputs.n;
        instance->process = process;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; of[i] && j < n; j++) {
            if (!of[j] || !reads(&instances[j], &instances[i])) {
                continue;
            }
            of[i]->readers = arena_grow(arena, of[i]->readers, of[i]->n_readers, sizeof *of[i]->readers);
            of[i]->readers[of[i]->n_readers++] = of[j];
        }
    }
    return processes;
}
