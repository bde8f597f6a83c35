/* The command line of a stage: the parameters that all stages have, and its own, from their tables (argp). */
#ifndef LOOM_COMMON_STAGE_OPTIONS_H
#define LOOM_COMMON_STAGE_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "stage.h"

enum log_form { LOG_TEXT, LOG_JSON };
enum join { JOIN_AUTO, JOIN_START, JOIN_OLDEST };

struct stage_options {
    char *name;     /* in the run */
    char *who;      /* as a reader; "": its name */
    char *run;      /* folder */
    char *bind;     /* endpoint of the stream made here */
    char *bind_tap; /* and of its tap */
    char *required; /* readers to wait for */
    int join;       /* enum join */
    int64_t block;  /* frames a message */
    int64_t ring_mb;
    double checkpoint_s;
    double timeout_s;
    double patience_s;
    int log; /* enum log_form */
    char *curve_key;
    char *curve_peers;

    char *inputs[STAGE_INPUTS_MAX]; /* endpoints, as given by --in */
    size_t n_inputs;
    char *taps[STAGE_INPUTS_MAX]; /* endpoints, as given by --tap */
    size_t n_taps;
};

/* The table of the fields above up to curve_peers. */
extern const struct param stage_options_table[];

enum stage_request { STAGE_RUN, STAGE_SPEC };

/* Fill options and the stage's own fields from the command line, defaults first. --help and --version print
 * and exit. LOOM_EUSAGE with the message if it is not valid. Free both with stage_options_fini. */
int stage_options_parse(const struct stage *stage, int argc, char **argv, struct stage_options *options,
                        void *fields, enum stage_request *request) LOOM_MUST_CHECK;

void stage_options_fini(const struct stage *stage, struct stage_options *options, void *fields);

/* The stage as JSON for the launcher: ports and parameters. */
void stage_options_write_spec(const struct stage *stage, FILE *out);

#endif
