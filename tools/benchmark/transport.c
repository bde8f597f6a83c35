/* transport-bench: how fast streams are on their own. One producer, one or more consumers, each a process, through
 * the same code as the stages and an ipc:// socket; frames are ready-made and nobody computes.
 *
 *     transport-bench [--frames N] [--block N] [--readers LIST]
 *
 * prints one line of JSON: for each kind of stream and number of readers the frames and bytes that every reader got
 * a second, and for frames the round trip of fetching a single one. Frames come from a source that makes them
 * on request (like loom generate), codes and activations from a ring with acknowledgements (like the layers). */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "consumer.h"
#include "message.h"
#include "producer.h"

#define READERS_MAX 16
#define TRIPS 2000
#define RING_BYTES ((uint64_t)64 << 20) /* as a stage's by default */
#define PATIENCE_MS 30000

static const char usage[] = "usage: transport-bench [option]...\n"
                            "  --frames N       frames of a stream (200000)\n"
                            "  --block N        frames of a message at most (1024)\n"
                            "  --readers LIST   numbers of readers, with commas (1,3)\n";

static const struct endpoint_keys no_keys = {"", ""};

/* The streams of experiment B. */
static const struct stream_info kinds[] = {
    {.kind = STREAM_FRAMES, .dtype = STREAM_U1, .height = 20, .width = 20, .at = true},
    {.kind = STREAM_CODES, .dtype = STREAM_F4, .winners = 4, .grid_x = 40, .grid_y = 40},
    {.kind = STREAM_ACTIVATIONS, .dtype = STREAM_F4, .grid_x = 10, .grid_y = 10},
};

/* What a reader tells when it is done. */
struct report {
    double start, end; /* seconds: first fetch sent, last frame taken */
    double p50, p99;   /* seconds of a round trip, if that was measured */
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void die(void)
{
    fprintf(stderr, "transport-bench: %s\n", error_message());
    _exit(70);
}

static void check(int status)
{
    if (status < 0) {
        die();
    }
}

static void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (memory == NULL) {
        (void)error_set(LOOM_EINTERNAL, "out of memory");
        die();
    }
    return memory;
}

static size_t frame_bytes(const struct stream_info *info)
{
    struct stream_field fields[STREAM_FIELDS_MAX];
    size_t n = stream_fields(info, fields), bytes = 0;
    for (size_t f = 0; f < n; f++) {
        bytes += fields[f].row_bytes;
    }
    return bytes;
}

static void wait_for(void *socket)
{
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    (void)zmq_poll(&item, 1, 10);
}

/* ---- the producer ---- */

/* Ready-made rows of a block, the winners of a code ascending. */
static void new_rows(const struct stream_info *info, struct block *block)
{
    struct stream_field fields[STREAM_FIELDS_MAX];
    size_t n = stream_fields(info, fields);
    for (size_t f = 0; f < n; f++) {
        block->fields[f] = allocate(info->block * fields[f].row_bytes);
    }
    uint32_t *index = info->kind == STREAM_CODES ? block->fields[0] : NULL;
    for (size_t i = 0; index != NULL && i < info->block * info->winners; i++) {
        index[i] = (uint32_t)(i % info->winners);
    }
}

/* Source: what loom generate does when it copies a window, as one copy. */
static int produce(void *argument, struct block *out)
{
    const struct stream_info *info = argument;
    static struct block rows;
    struct stream_field fields[STREAM_FIELDS_MAX];
    size_t n = stream_fields(info, fields);
    if (rows.fields[0] == NULL) {
        new_rows(info, &rows);
    }
    for (size_t f = 0; f < n; f++) {
        memcpy(out->fields[f], rows.fields[f], out->n * fields[f].row_bytes);
    }
    return 0;
}

/* End if a reader has failed: nobody would ever acknowledge for it. */
static void check_readers(void)
{
    siginfo_t ended = {.si_pid = 0};
    if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid != 0 &&
        (ended.si_code != CLD_EXITED || ended.si_status != 0)) {
        (void)error_set(LOOM_EINTERNAL, "a reader has failed");
        die();
    }
}

static void serve(const char *endpoint, struct stream_info *info, const char *required)
{
    struct endpoint_context *context;
    struct producer *producer;
    bool source = info->kind == STREAM_FRAMES;
    struct producer_settings settings = {.endpoint = endpoint,
                                         .tap = "",
                                         .required = required,
                                         .done_path = "",
                                         .ring_bytes = RING_BYTES,
                                         .produce = source ? produce : NULL,
                                         .argument = info};
    struct block block = {.n = 0};
    new_rows(info, &block);
    check(endpoint_context_new(&context, &no_keys));
    check(producer_new(&producer, context, &settings));
    check(producer_start(producer, info, 0));
    while (!producer_finished(producer)) {
        bool did = false;
        check(producer_pump(producer));
        if (!source && producer_head(producer) < info->total && producer_has_room(producer, info->block)) {
            block.seq = producer_head(producer);
            block.n = (size_t)(stream_block_end(info, block.seq, info->block) - block.seq);
            check(producer_append(producer, &block));
            did = true;
        }
        if (!did) {
            check_readers();
            wait_for(producer_router(producer));
        }
    }
    producer_destroy(&producer);
    endpoint_context_destroy(&context);
    for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
        free(block.fields[f]);
    }
}

/* ---- a reader ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Fetch single frames, one after another, each when the one before has come. */
static void measure_trips(struct endpoint_context *context, const char *endpoint, const char *id,
                          struct report *report)
{
    void *socket = NULL;
    double *trip = allocate(TRIPS * sizeof *trip);
    check(endpoint_connect(context, &socket, ZMQ_DEALER, endpoint, 0, MESSAGE_REPLY_MAX));
    for (uint64_t t = 0; t < TRIPS; t++) {
        zmq_msg_t request, reply;
        double start = now();
        check(message_write_fetch(&request, id, t, 1, UINT64_MAX, "trip"));
        zmq_msg_init(&reply);
        if (zmq_msg_send(&request, socket, 0) < 0 || zmq_msg_recv(&reply, socket, 0) < 0) {
            (void)error_set(LOOM_EPEER, "the producer does not answer: %s", zmq_strerror(errno));
            die();
        }
        trip[t] = now() - start;
        zmq_msg_close(&reply);
    }
    qsort(trip, TRIPS, sizeof *trip, compare);
    report->p50 = trip[TRIPS / 2];
    report->p99 = trip[TRIPS * 99 / 100];
    free(trip);
    endpoint_close(&socket);
}

static struct report read_all(const char *endpoint, const char *who, bool trips)
{
    struct report report = {0};
    struct endpoint_context *context;
    struct consumer *consumer;
    struct consumer_settings settings = {
        .endpoint = endpoint, .who = who, .timeout_ms = 1000, .patience_ms = PATIENCE_MS};
    check(endpoint_context_new(&context, &no_keys));
    check(consumer_new(&consumer, context, &settings));
    while (consumer_info(consumer) == NULL) {
        check(consumer_pump(consumer));
        wait_for(consumer_socket(consumer));
    }
    size_t block_frames = (size_t)consumer_info(consumer)->block;
    if (trips) {
        measure_trips(context, endpoint, consumer_info(consumer)->id, &report);
    }
    report.start = now();
    check(consumer_start(consumer, 0, block_frames, ""));
    while (!consumer_ended(consumer)) {
        struct block block = {.n = 0};
        check(consumer_pump(consumer));
        size_t ready = consumer_ready(consumer);
        if (ready == 0) {
            wait_for(consumer_socket(consumer));
        } else {
            check(consumer_take(consumer, ready, &block));
            consumer_ack(consumer, consumer_position(consumer));
        }
    }
    report.end = now();
    while (!consumer_confirmed(consumer)) {
        check(consumer_pump(consumer));
        wait_for(consumer_socket(consumer));
    }
    consumer_destroy(&consumer);
    endpoint_context_destroy(&context);
    return report;
}

/* ---- a case ---- */

/* Start reader number r; returns its process, and the end of the pipe on which its report will come. */
static pid_t start_reader(size_t r, const char *endpoint, bool trips, int *report_fd)
{
    int ends[2];
    if (pipe(ends) < 0) {
        (void)error_set(LOOM_EINTERNAL, "no pipe: %s", strerror(errno));
        die();
    }
    pid_t child = fork();
    if (child == 0) {
        char who[32];
        snprintf(who, sizeof who, "reader%zu", r);
        struct report report = read_all(endpoint, who, trips);
        _exit(write(ends[1], &report, sizeof report) == (ssize_t)sizeof report ? 0 : 70);
    }
    close(ends[1]);
    *report_fd = ends[0];
    return child;
}

static struct report measure(struct stream_info *info, size_t readers, const char *endpoint, bool trips)
{
    pid_t child[READERS_MAX];
    int report_fd[READERS_MAX];
    char required[READERS_MAX * 32] = "";
    struct report all = {.start = now() + 1e9};
    for (size_t r = 0; r < readers; r++) {
        size_t used = strlen(required);
        snprintf(required + used, sizeof required - used, "%sreader%zu", r == 0 ? "" : ",", r);
        child[r] = start_reader(r, endpoint, trips, &report_fd[r]);
    }
    serve(endpoint, info, required);
    for (size_t r = 0; r < readers; r++) {
        struct report report;
        int status = 0;
        bool whole = read(report_fd[r], &report, sizeof report) == (ssize_t)sizeof report;
        close(report_fd[r]);
        if (waitpid(child[r], &status, 0) < 0 || !whole || status != 0) {
            (void)error_set(LOOM_EINTERNAL, "a reader has failed");
            die();
        }
        all.start = report.start < all.start ? report.start : all.start;
        all.end = report.end > all.end ? report.end : all.end;
        all.p50 = report.p50;
        all.p99 = report.p99;
    }
    return all;
}

/* ---- the command line ---- */

static uint64_t parse_count(const char *text, uint64_t most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || *text == '-' || value < 1 || value > most) {
        fprintf(stderr, "transport-bench: '%s' is not a number from 1 to %ju\n%s", text, (uintmax_t)most,
                usage);
        exit(64);
    }
    return value;
}

/* All kinds with so many readers; with one, also the round trip of frames. */
static void measure_kinds(const struct stream_info *common, size_t readers, const char *folder,
                          const char **separator)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct stream_info info = kinds[i];
        char endpoint[96];
        const char *kind = stream_kind_name(info.kind);
        bool trips = readers == 1 && info.kind == STREAM_FRAMES;
        snprintf(info.id, sizeof info.id, "transport%zu%zu", i, readers);
        snprintf(endpoint, sizeof endpoint, "ipc://%s/%s%zu", folder, kind, readers);
        info.total = common->total;
        info.block = common->block;
        info.ring = UINT64_MAX;
        struct report report = measure(&info, readers, endpoint, trips);
        double rate = (double)info.total / (report.end - report.start);
        printf("%s\"transport/%s/%zu/frames\": %.9g, \"transport/%s/%zu/bytes\": %.9g", *separator, kind,
               readers, rate, kind, readers, rate * (double)frame_bytes(&info));
        if (trips) {
            printf(", \"transport/round_trip/p50\": %.9g, \"transport/round_trip/p99\": %.9g", report.p50,
                   report.p99);
        }
        *separator = ", ";
        unlink(endpoint + strlen("ipc://"));
    }
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"frames", required_argument, NULL, 'f'},
                                          {"block", required_argument, NULL, 'b'},
                                          {"readers", required_argument, NULL, 'r'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct stream_info common = {.total = 200000, .block = 1024};
    char two[] = "1,3", *readers = two;
    for (int option; (option = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        switch (option) {
        case 'f':
            common.total = parse_count(optarg, 1000000000);
            break;
        case 'b':
            common.block = parse_count(optarg, 65536);
            break;
        case 'r':
            readers = optarg;
            break;
        default:
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 64;
        }
    }
    const char *base = getenv("TMPDIR"), *separator = "";
    char folder[64], *state = NULL;
    int length = snprintf(folder, sizeof folder, "%s/loom-transport-XXXXXX", base == NULL ? "/tmp" : base);
    if (optind < argc || length >= (int)sizeof folder || mkdtemp(folder) == NULL) {
        fprintf(stderr, "transport-bench: %s\n%s",
                optind < argc ? "too many arguments" : "no folder for sockets in TMPDIR", usage);
        return optind < argc ? 64 : 74;
    }
    fputs("{\"results\": {", stdout);
    for (char *number = strtok_r(readers, ",", &state); number; number = strtok_r(NULL, ",", &state)) {
        fflush(stdout); /* nothing of it twice, in a reader */
        measure_kinds(&common, (size_t)parse_count(number, READERS_MAX), folder, &separator);
    }
    puts("}}");
    rmdir(folder);
    return 0;
}
