/* options.h - what `holdfast load` is asked for. Threads: one; pure but for messages on stderr. */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "load/schedule.h"

#define LOAD_BATCH_MAX       65536u
#define LOAD_CONNECTIONS_MAX 10000u
#define LOAD_IN_FLIGHT_MAX   64u /* what one client of the library can have under way */
#define LOAD_SKUS_MAX        1000000u
#define LOAD_COMMAND_BYTES   1024u

struct load_options {
    const char *url;
    const char *token;      /* NULL: none */
    const char *token_file; /* where it is from; NULL: elsewhere */

    /* How long. */
    uint64_t orders;   /* 0: not bounded by a number */
    double duration_s; /* 0: not bounded by time */
    double warm_up_s;
    bool until_sold_out;

    /* What. */
    uint32_t skus;         /* own SKUs; 0: not */
    int64_t stock;         /* units free of each own SKU at the start */
    const char *catalogue; /* use the items that this file names; NULL: not */
    const char *encoding;  /* that the files are in; NULL: UTF-8 */
    bool existing;         /* use every item of the engine */
    double zipf;           /* exponent; 0: all items alike */
    double hot_share;      /* of all orders, 0..1, for the first item alone */
    uint64_t buyers;
    uint32_t qty_max;
    uint32_t hold_ms;
    double commit_share;  /* of the orders that were reserved, 0..1 */
    double release_share; /* the same for releases; both together are at most 1 */
    uint64_t seed;

    /* How. */
    uint32_t batch;
    uint32_t connections;
    uint32_t in_flight; /* on each connection */
    double rate;        /* orders per second, open loop; 0: as fast as answers come */
    enum shape shape;
    double give_up_s;
    double retain_s; /* ended orders may be unknown after so long; 0: they must not */

    /* A file of real orders instead. */
    const char *trace;
    const char *totals; /* write sku,sold here; NULL: not */

    const char *report; /* write an HTML page here; NULL: not */

    bool oracle;
    bool json;
    bool quiet;
    bool progress;

    char command[LOAD_COMMAND_BYTES]; /* the options as given, but for the token; cut if long */
};

enum options_outcome {
    OPTIONS_RUN,
    OPTIONS_HELP,  /* help was asked for and has been printed */
    OPTIONS_WRONG, /* the reason is on stderr */
};

/* Reads the command line. Strings point into argv or the environment. */
enum options_outcome options_parse(struct load_options *options, int argc, char **argv);

/* A duration with its unit, as units.h reads it: "500ms", "1.5s", "2m", "1h"; or "0". False when it
 * is anything else. */
bool options_parse_seconds(const char *text, double *seconds);

/* "100,70,20": of 100 orders reserved 70 are committed and 20 released. */
bool options_parse_mix(const char *text, double *commit_share, double *release_share);

#endif
