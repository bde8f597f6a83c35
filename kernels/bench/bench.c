/* kernel-bench: the command line and the rounds; see bench.h.
 *
 *     kernel-bench [--rounds 5] [--only layers,growth,runs,ceilings] [--json] ...
 *
 * Needs nothing but this program. tools/bench calls it with real frames and puts its numbers beside others. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

#define FILMS_MAX 8
#define ROUNDS_MAX 100

static const char usage[] =
    "usage: kernel-bench [option]...\n"
    "  --rounds N          measure everything so often; medians are shown (5)\n"
    "  --seconds S         how long a case takes in a round (0.1)\n"
    "  --only LIST         of layers, growth, runs, ceilings, with commas (layers,ceilings)\n"
    "  --backend LIST      of cpu, cuda, reference (cpu,reference)\n"
    "  --threads LIST      threads of the sparse layer (1)\n"
    "  --block N           frames a call (1024)\n"
    "  --warm N            frames of training before anything is timed (20000)\n"
    "  --largest N         growth: units of the largest layer (25600)\n"
    "  --frames SIDE=FILE  frames of SIDE x SIDE pixels as raw floats in [0, 1]; several may be given. "
    "Without\n"
    "                      any they are made up; --made makes up those of the sizes that are missing\n"
    "  --made              see --frames\n"
    "  --keep-frames FILE  also write those of 20 x 20 pixels there, in the same form\n"
    "  --json              a line a round, {\"round\": 1, \"results\": {name: number}}, instead of a table\n"
    "  --body              only say which body computes on this machine\n"
    "  --step              wait for a line on standard input before every round\n";

struct options {
    size_t rounds;
    bool layers, growth, runs, ceilings, json, step, made;
    const char *keep; /* file to write frames to */
    struct {
        size_t side;
        const char *path;
    } films[FILMS_MAX];
    size_t n_films;
};

void *bench_allocate(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    if (!memory) {
        fputs("kernel-bench: out of memory\n", stderr);
        exit(70);
    }
    return memory;
}

void bench_check(int status, const char *what)
{
    if (status) {
        fprintf(stderr, "kernel-bench: %s: the kernel failed with status %d: %s\n", what, status,
                *kernel_failure()               ? kernel_failure()
                : status == KERNEL_EUNSUPPORTED ? "this build or machine has no such body"
                                                : "no more is known");
        exit(70);
    }
}

double bench_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

double bench_uniform(void)
{
    static uint64_t state = 1;
    uint64_t z = (state += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

float *bench_weights(size_t count, double below)
{
    float *weights = bench_allocate(count, sizeof *weights);
    for (size_t w = 0; w < count; w++) {
        weights[w] = (float)(below * bench_uniform());
    }
    return weights;
}

const struct film *bench_film(const struct bench *self, size_t side)
{
    for (size_t f = 0; f < self->n_films; f++) {
        if (self->films[f].side == side) {
            return &self->films[f];
        }
    }
    return NULL;
}

bool bench_set_threads(struct sparse_config *config, size_t threads)
{
    config->threads = threads;
    return threads <= SPARSE_THREADS_MAX;
}

static void refuse(const char *option, const char *value)
{
    fprintf(stderr, "kernel-bench: --%s '%s' is not valid\n%s", option, value, usage);
    exit(64);
}

static size_t parse_count(const char *option, const char *text, size_t most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || *text == '-' || value < 1 || value > most) {
        refuse(option, text);
    }
    return value;
}

static void parse_sections(struct options *options, char *list)
{
    options->layers = options->growth = options->runs = options->ceilings = false;
    for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
        bool *section = strcmp(name, "layers") == 0     ? &options->layers
                        : strcmp(name, "growth") == 0   ? &options->growth
                        : strcmp(name, "runs") == 0     ? &options->runs
                        : strcmp(name, "ceilings") == 0 ? &options->ceilings
                                                        : NULL;
        if (!section) {
            refuse("only", name);
        } else {
            *section = true;
        }
    }
}

static void parse_backends(struct bench *bench, char *list)
{
    static const struct {
        const char *name;
        enum kernel_backend backend;
    } known[] = {{"cpu", KERNEL_CPU}, {"cuda", KERNEL_CUDA}, {"reference", KERNEL_REFERENCE}};
    bench->n_backends = 0;
    for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
        size_t b = 0;
        while (b < sizeof known / sizeof *known && strcmp(known[b].name, name) != 0) {
            b++;
        }
        if (b == sizeof known / sizeof *known || bench->n_backends == 4) {
            refuse("backend", name);
        }
        bench->backend_names[bench->n_backends] = known[b].name;
        bench->backends[bench->n_backends++] = known[b].backend;
    }
}

static void parse_threads(struct bench *bench, char *list)
{
    bench->n_threads = 0;
    for (char *number = strtok(list, ","); number; number = strtok(NULL, ",")) {
        struct sparse_config probe = {0};
        size_t threads = parse_count("threads", number, 1024);
        if (bench->n_threads == 4) {
            refuse("threads", number);
        }
        if (bench_set_threads(&probe, threads)) {
            bench->threads[bench->n_threads++] = threads;
        } else {
            fprintf(stderr, "kernel-bench: layers cannot use %zu threads: left out\n", threads);
        }
    }
}

static void parse_film(struct options *options, char *text)
{
    char *path = strchr(text, '=');
    if (!path || options->n_films == FILMS_MAX) {
        refuse("frames", text);
        return;
    }
    *path = '\0';
    options->films[options->n_films].side = parse_count("frames", text, 1024);
    options->films[options->n_films++].path = path + 1;
}

static void parse_seconds(struct bench *bench, const char *text)
{
    char *end;
    bench->seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(bench->seconds > 0 && bench->seconds <= 3600)) {
        refuse("seconds", text);
    }
}

static void print_body(void)
{
    const struct sparse_config smallest = {.P = 1, .Kx = 1, .Ky = 1, .k = 1};
    struct sparse *layer;
    bench_check(sparse_new(&layer, &smallest, KERNEL_AUTO), "a sparse layer");
    puts(sparse_body(layer));
    sparse_destroy(&layer);
}

static void parse(struct options *options, struct bench *bench, int argc, char **argv)
{
    static const struct option known[] = {
        {"rounds", required_argument, NULL, 'r'},  {"seconds", required_argument, NULL, 's'},
        {"only", required_argument, NULL, 'o'},    {"backend", required_argument, NULL, 'b'},
        {"threads", required_argument, NULL, 't'}, {"block", required_argument, NULL, 'n'},
        {"warm", required_argument, NULL, 'w'},    {"largest", required_argument, NULL, 'l'},
        {"frames", required_argument, NULL, 'f'},  {"keep-frames", required_argument, NULL, 'k'},
        {"made", no_argument, NULL, 'm'},          {"json", no_argument, NULL, 'j'},
        {"step", no_argument, NULL, 'p'},          {"body", no_argument, NULL, 'y'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        switch (option) {
        case 'r':
            options->rounds = parse_count("rounds", optarg, ROUNDS_MAX);
            break;
        case 's':
            parse_seconds(bench, optarg);
            break;
        case 'o':
            parse_sections(options, optarg);
            break;
        case 'b':
            parse_backends(bench, optarg);
            break;
        case 't':
            parse_threads(bench, optarg);
            break;
        case 'n':
            bench->block = parse_count("block", optarg, 1 << 20);
            break;
        case 'w':
            bench->warm = parse_count("warm", optarg, 1 << 30);
            break;
        case 'l':
            bench->largest = parse_count("largest", optarg, 1 << 30);
            break;
        case 'f':
            parse_film(options, optarg);
            break;
        case 'k':
            options->keep = optarg;
            break;
        case 'm':
            options->made = true;
            break;
        case 'j':
            options->json = true;
            break;
        case 'p':
            options->step = true;
            break;
        case 'y':
            print_body();
            exit(0);
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            fputs(usage, stderr);
            exit(64);
        }
    }
    if (optind < argc || bench->n_backends == 0 || bench->n_threads == 0) {
        fputs(usage, stderr);
        exit(64);
    }
}

/* Whether a line has come that asks for the next round. */
static bool asked(void)
{
    char line[256];
    return fgets(line, sizeof line, stdin) != NULL;
}

/* Of the sizes that are needed and not given. */
static void add_made_films(struct options *options)
{
    static const size_t sides[] = {20, 32, 64};
    for (size_t s = 0; s < (options->growth ? sizeof sides / sizeof *sides : 1); s++) {
        bool given = options->n_films == FILMS_MAX;
        for (size_t f = 0; f < options->n_films; f++) {
            given |= options->films[f].side == sides[s];
        }
        if (!given) {
            options->films[options->n_films++].side = sides[s];
        }
    }
}

int main(int argc, char **argv)
{
    struct options options = {.rounds = 5, .layers = true, .ceilings = true};
    struct bench bench = {.backends = {KERNEL_CPU, KERNEL_REFERENCE},
                          .backend_names = {"cpu", "reference"},
                          .n_backends = 2,
                          .threads = {1},
                          .n_threads = 1,
                          .block = 1024,
                          .warm = 20000,
                          .largest = 25600,
                          .seconds = 0.1};
    parse(&options, &bench, argc, argv);
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0); /* else 32 layers wait for each other in 8 queues */
    if (options.n_films == 0 || options.made) {
        add_made_films(&options);
    }
    int rc = 0;
    bench.films = bench_allocate(options.n_films, sizeof *bench.films);
    while (!rc && bench.n_films < options.n_films) {
        struct film *film = &bench.films[bench.n_films];
        rc = film_init(film, options.films[bench.n_films].side, options.films[bench.n_films].path);
        bench.n_films++;
    }
    if (!rc && options.layers && !bench_film(&bench, 20)) {
        fputs("kernel-bench: the layers need frames of 20 x 20 pixels: give --frames 20=FILE\n", stderr);
        rc = -1;
    }
    if (!rc && options.keep) {
        rc = bench_film(&bench, 20) ? film_keep(bench_film(&bench, 20), options.keep) : -1;
    }
    struct layers *layers = !rc && options.layers ? layers_start(&bench) : NULL;
    for (size_t round = 0; !rc && round < options.rounds && (!options.step || asked()); round++) {
        results_begin_round();
        if (layers) {
            layers_measure(layers);
        }
        if (options.growth) {
            growth_measure(&bench);
        }
        if (options.runs) {
            runs_measure(&bench);
        }
        if (options.ceilings) {
            ceilings_measure(&bench);
        }
        if (options.json) {
            results_print_json();
        }
    }
    if (!rc && !options.json) {
        results_print_table();
    }
    if (layers) {
        layers_stop(layers);
    }
    for (size_t f = 0; f < bench.n_films; f++) {
        film_fini(&bench.films[f]);
    }
    free(bench.films);
    return rc ? 65 : 0;
}
