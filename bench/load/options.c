/* options.c - the command line of `holdfast load`. Threads: one. */
#include "load/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/address.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/suggest.h"
#include "base/units.h"
#include "load/report.h"

static const char help[] =
    "holdfast load: send orders as a sale does, then ask every answer back\n"
    "\n"
    "usage: holdfast load [options]\n"
    "       holdfast load --trace FILE.csv[.gz] [options]\n"
    "\n"
    "How long (default: --duration 10s); a time S needs a unit: 500ms, 1.5s, 2m, 1h\n"
    "  --orders N            stop after N orders\n"
    "  --duration S          stop after S\n"
    "  --until-sold-out      until every item has refused an order for one unit\n"
    "  --warm-up S           send for S before that; the figures do not count it\n"
    "\n"
    "What is bought (default: --skus 1000)\n"
    "  --skus N              SKUs of its own, LOAD-00001 and so on, in pool `default`\n"
    "  --stock UNITS         of each of them free at the start (default 1000000000)\n"
    "  --catalogue FILE.csv  the items that a file names in its columns sku and pool\n"
    "  --existing            every item that the engine has, those with most units first\n"
    "  --zipf S              the n-th item is wanted 1/n^S as much as the first (default 0:\n"
    "                        all alike; sales are near 1)\n"
    "  --hot-share P         P percent of all orders are for the first item, --zipf spreads the\n"
    "                        rest over the others (default 0)\n"
    "  --qty-max N           1 to N units an order (default 1)\n"
    "  --buyers N            N different buyers (default 1000000)\n"
    "  --hold S              how long orders are held (default 1h)\n"
    "  --mix R,C,L           of R orders that were reserved, C are committed and L released\n"
    "                        afterwards (default 100,0,0)\n"
    "  --seed N              of all that is random (default 1)\n"
    "\n"
    "How it is sent\n"
    "  --batch N             orders a message (default 100); 1: one order a message\n"
    "  --connections N       (default 1; at most 10000)\n"
    "  --in-flight N         messages under way on each connection, at most 64 (default 16; with\n"
    "                        more than 16 connections 256 in all, at least 1 each)\n"
    "  --rate R              orders per second, sent when they are due whether or not answers\n"
    "                        come; latency counts from when a message was due (default: as fast\n"
    "                        as answers come)\n"
    "  --shape flat|1111     how the rate goes over time (default flat). 1111: quiet for a fifth "
    "of\n"
    "                        the duration, a spike of --rate at 00:00:00, then a long tail\n"
    "  --give-up S           an order without answer is sent again, with the same id, for S\n"
    "                        (default 60s)\n"
    "  --retain S            the engine's retain-ended: an order that ended longer ago may be\n"
    "                        unknown to it, and is not lost then (default: none may)\n"
    "\n"
    "A file of real orders\n"
    "  --trace FILE          columns order, buyer, sku, qty, by the header's names; negative\n"
    "                        quantities of an order that begins with C are returns, others are\n"
    "                        write-offs. Stocks what the file needs, then sells it, in order.\n"
    "                        The same file may be run again: nothing is done twice\n"
    "  --encoding NAME       what these files are in, as gb18030 or utf-16le (default: UTF-8)\n"
    "  --totals FILE.csv     write what the engine says was sold: sku,sold\n"
    "\n"
    "General\n"
    "  --url URL             of the engine (default $HOLDFAST_URL or tcp://127.0.0.1:7411)\n"
    "  --token TEXT          sent with each request (default $HOLDFAST_TOKEN)\n"
    "  --token-file FILE     the same from a file, which `ps` does not show\n"
    "  --no-oracle           do not ask the answers back\n"
    "  --json                print one JSON object\n"
    "  --report FILE.html    write a page with plots, settings and results: one file, no network\n"
    "  --progress            a line each second on stderr (default when it is a terminal, where\n"
    "                        the line stays in its place)\n"
    "  --quiet               no progress, no notes\n"
    "\n"
    "The items must be left alone by others during the run. Exit: 0 every answer was kept; 1\n"
    "something was oversold, undersold, lost or duplicated; 2 wrong usage; 3 the engine can't be\n"
    "reached.\n";

enum option_key {
    KEY_URL = 256,
    KEY_TOKEN,
    KEY_TOKEN_FILE,
    KEY_ORDERS,
    KEY_DURATION,
    KEY_WARM_UP,
    KEY_UNTIL_SOLD_OUT,
    KEY_SKUS,
    KEY_STOCK,
    KEY_CATALOGUE,
    KEY_EXISTING,
    KEY_ZIPF,
    KEY_HOT_SHARE,
    KEY_QTY_MAX,
    KEY_BUYERS,
    KEY_HOLD,
    KEY_MIX,
    KEY_SEED,
    KEY_BATCH,
    KEY_CONNECTIONS,
    KEY_IN_FLIGHT,
    KEY_RATE,
    KEY_SHAPE,
    KEY_GIVE_UP,
    KEY_RETAIN,
    KEY_TRACE,
    KEY_TOTALS,
    KEY_ENCODING,
    KEY_NO_ORACLE,
    KEY_JSON,
    KEY_REPORT,
    KEY_PROGRESS,
    KEY_QUIET,
    KEY_HELP,
};

static const struct option long_options[] = {
    {"url", required_argument, NULL, KEY_URL},
    {"token", required_argument, NULL, KEY_TOKEN},
    {"tok", required_argument, NULL, KEY_TOKEN}, /* short for it, as before there was token-file */
    {"token-file", required_argument, NULL, KEY_TOKEN_FILE},
    {"orders", required_argument, NULL, KEY_ORDERS},
    {"duration", required_argument, NULL, KEY_DURATION},
    {"warm-up", required_argument, NULL, KEY_WARM_UP},
    {"until-sold-out", no_argument, NULL, KEY_UNTIL_SOLD_OUT},
    {"skus", required_argument, NULL, KEY_SKUS},
    {"stock", required_argument, NULL, KEY_STOCK},
    {"catalogue", required_argument, NULL, KEY_CATALOGUE},
    {"existing", no_argument, NULL, KEY_EXISTING},
    {"zipf", required_argument, NULL, KEY_ZIPF},
    {"hot-share", required_argument, NULL, KEY_HOT_SHARE},
    {"qty-max", required_argument, NULL, KEY_QTY_MAX},
    {"buyers", required_argument, NULL, KEY_BUYERS},
    {"hold", required_argument, NULL, KEY_HOLD},
    {"mix", required_argument, NULL, KEY_MIX},
    {"seed", required_argument, NULL, KEY_SEED},
    {"batch", required_argument, NULL, KEY_BATCH},
    {"connections", required_argument, NULL, KEY_CONNECTIONS},
    {"in-flight", required_argument, NULL, KEY_IN_FLIGHT},
    {"rate", required_argument, NULL, KEY_RATE},
    {"shape", required_argument, NULL, KEY_SHAPE},
    {"give-up", required_argument, NULL, KEY_GIVE_UP},
    {"retain", required_argument, NULL, KEY_RETAIN},
    {"trace", required_argument, NULL, KEY_TRACE},
    {"totals", required_argument, NULL, KEY_TOTALS},
    {"encoding", required_argument, NULL, KEY_ENCODING},
    {"no-oracle", no_argument, NULL, KEY_NO_ORACLE},
    {"json", no_argument, NULL, KEY_JSON},
    {"report", required_argument, NULL, KEY_REPORT},
    {"progress", no_argument, NULL, KEY_PROGRESS},
    {"quiet", no_argument, NULL, KEY_QUIET},
    {"help", no_argument, NULL, KEY_HELP},
    {NULL, 0, NULL, 0},
};

/* ---- Values ---- */

static bool parse_number(const char *text, double *number)
{
    /* strtod takes "nan", "inf" and leading blanks: none is meant here. */
    if (!(*text >= '0' && *text <= '9') && *text != '.') {
        return false;
    }
    char *end;
    errno = 0;
    *number = strtod(text, &end);
    return errno == 0 && *end == '\0' && isfinite(*number);
}

static bool parse_integer(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
    if (*text < '0' || *text > '9') {
        return false;
    }
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *value >= min && *value <= max;
}

bool options_parse_seconds(const char *text, double *seconds)
{
    uint64_t ms;
    /* A number alone is seconds to some and milliseconds elsewhere on the command line: neither. */
    bool unit_given = strspn(text, "0123456789.") < strlen(text) || strcmp(text, "0") == 0;
    if (!unit_given || units_duration(text, &ms) != UNITS_FINE) {
        return false;
    }
    *seconds = (double)ms / 1000;
    return true;
}

bool options_parse_mix(const char *text, double *commit_share, double *release_share)
{
    double parts[3];
    const char *at = text;
    for (int i = 0; i < 3; i++) {
        size_t digits = strspn(at, "0123456789.");
        char number[32];
        if (digits == 0 || digits >= sizeof number || at[digits] != (i < 2 ? ',' : '\0')) {
            return false;
        }
        memcpy(number, at, digits);
        number[digits] = '\0';
        if (!parse_number(number, &parts[i])) {
            return false;
        }
        at += digits + 1;
    }
    if (parts[0] <= 0 || parts[1] + parts[2] > parts[0]) {
        return false;
    }
    *commit_share = parts[1] / parts[0];
    *release_share = parts[2] / parts[0];
    return true;
}

/* ---- The command line ---- */

static void set_defaults(struct load_options *options)
{
    const char *url = getenv("HOLDFAST_URL");
    const char *token = getenv("HOLDFAST_TOKEN");
    *options = (struct load_options){
        .url = url && *url ? url : "tcp://127.0.0.1:7411",
        .token = token && *token ? token : NULL,
        .stock = -1,
        .buyers = 1000000,
        .qty_max = 1,
        .hold_ms = 3600000,
        .seed = 1,
        .batch = 100,
        .connections = 1,
        .give_up_s = 60,
        .oracle = true,
        .progress = isatty(STDERR_FILENO) == 1,
    };
}

static bool read_u32(const char *text, uint32_t min, uint32_t max, uint32_t *value)
{
    uint64_t wide;
    if (!parse_integer(text, min, max, &wide)) {
        return false;
    }
    *value = (uint32_t)wide;
    return true;
}

/* Options that say how much; true when the value is one. */
static bool read_quantity(struct load_options *options, int key, const char *text)
{
    uint64_t wide;
    double seconds;
    switch (key) {
    case KEY_ORDERS:
        return parse_integer(text, 1, UINT64_C(1) << 40, &options->orders);
    case KEY_DURATION:
        return options_parse_seconds(text, &options->duration_s) && options->duration_s > 0;
    case KEY_WARM_UP:
        return options_parse_seconds(text, &options->warm_up_s);
    case KEY_SKUS:
        return read_u32(text, 1, LOAD_SKUS_MAX, &options->skus);
    case KEY_STOCK:
        if (!parse_integer(text, 0, (uint64_t)STOCK_MAX, &wide)) {
            return false;
        }
        options->stock = (int64_t)wide;
        return true;
    case KEY_ZIPF:
        return parse_number(text, &options->zipf) && options->zipf <= 10;
    case KEY_HOT_SHARE:
        if (!parse_number(text, &options->hot_share) || options->hot_share > 100) {
            return false;
        }
        options->hot_share /= 100;
        return true;
    case KEY_QTY_MAX:
        return read_u32(text, 1, QTY_MAX, &options->qty_max);
    case KEY_BUYERS:
        return parse_integer(text, 1, UINT64_MAX, &options->buyers);
    case KEY_HOLD:
        if (!options_parse_seconds(text, &seconds) || seconds < 0.001 || seconds > 4000000) {
            return false;
        }
        options->hold_ms = (uint32_t)(seconds * 1000 + 0.5);
        return true;
    case KEY_MIX:
        return options_parse_mix(text, &options->commit_share, &options->release_share);
    case KEY_SEED:
        return parse_integer(text, 0, UINT64_MAX, &options->seed);
    case KEY_BATCH:
        return read_u32(text, 1, LOAD_BATCH_MAX, &options->batch);
    case KEY_CONNECTIONS:
        return read_u32(text, 1, LOAD_CONNECTIONS_MAX, &options->connections);
    case KEY_IN_FLIGHT:
        return read_u32(text, 1, LOAD_IN_FLIGHT_MAX, &options->in_flight);
    case KEY_RATE:
        return parse_number(text, &options->rate) && options->rate > 0;
    case KEY_RETAIN:
        return options_parse_seconds(text, &options->retain_s) && options->retain_s > 0;
    default:
        return options_parse_seconds(text, &options->give_up_s);
    }
}

/* Options that name something or switch something. False: key is none of them. */
static bool read_choice(struct load_options *options, int key, const char *text)
{
    switch (key) {
    case KEY_URL:
        options->url = text;
        return true;
    case KEY_TOKEN:
        options->token = text;
        return true;
    case KEY_TOKEN_FILE:
        options->token_file = text;
        return true;
    case KEY_CATALOGUE:
        options->catalogue = text;
        return true;
    case KEY_TRACE:
        options->trace = text;
        return true;
    case KEY_TOTALS:
        options->totals = text;
        return true;
    case KEY_ENCODING:
        options->encoding = text;
        return true;
    case KEY_REPORT:
        options->report = text;
        return true;
    case KEY_SHAPE:
        options->shape = strcmp(text, "1111") == 0 ? SHAPE_1111 : SHAPE_FLAT;
        return options->shape == SHAPE_1111 || strcmp(text, "flat") == 0;
    case KEY_UNTIL_SOLD_OUT:
        options->until_sold_out = true;
        return true;
    case KEY_EXISTING:
        options->existing = true;
        return true;
    case KEY_NO_ORACLE:
        options->oracle = false;
        return true;
    case KEY_JSON:
        options->json = true;
        return true;
    case KEY_PROGRESS:
        options->progress = true;
        return true;
    case KEY_QUIET:
        options->quiet = true;
        return true;
    default:
        return false;
    }
}

/* What single options can't see; NULL: nothing is wrong. */
static const char *check_together(const struct load_options *options)
{
    int sources = (options->skus > 0) + (options->catalogue != NULL) + options->existing;
    int bounds = (options->orders > 0) + (options->duration_s > 0) + options->until_sold_out;
    if (sources > 1) {
        return "--skus, --catalogue and --existing exclude each other";
    }
    if (bounds > 1) {
        return "--orders, --duration and --until-sold-out exclude each other";
    }
    if (options->trace && (sources > 0 || bounds > 0 || options->rate > 0)) {
        return "--trace says itself what is bought and when";
    }
    if (options->trace && options->report) {
        return "--report does not go with --trace";
    }
    if (options->shape == SHAPE_1111 &&
        (!(options->rate > 0) || options->orders > 0 || options->until_sold_out)) {
        return "--shape 1111 needs --rate, for its peak, and is bounded by --duration";
    }
    if (options->totals && !options->trace) {
        return "--totals goes with --trace";
    }
    if (options->until_sold_out && options->stock < 0 && !options->catalogue &&
        !options->existing) {
        return "--until-sold-out with SKUs of its own needs --stock";
    }
    if (options->stock >= 0 && (options->catalogue || options->existing)) {
        return "--stock is for --skus: items of the engine keep the stock they have";
    }
    return NULL;
}

#define LOAD_IN_FLIGHT     16u
#define LOAD_IN_FLIGHT_ALL 256u

static void fill_defaults(struct load_options *options)
{
    if (options->orders == 0 && !options->until_sold_out && !(options->duration_s > 0)) {
        options->duration_s = 10;
    }
    if (!options->catalogue && !options->existing && options->skus == 0) {
        options->skus = 1000;
    }
    if (options->stock < 0) {
        options->stock = 1000000000;
    }
    if (options->in_flight == 0) {
        uint32_t share = LOAD_IN_FLIGHT_ALL / options->connections;
        options->in_flight = share == 0 ? 1 : share > LOAD_IN_FLIGHT ? LOAD_IN_FLIGHT : share;
    }
    if (options->quiet) {
        options->progress = false;
    }
}

static_assert(LOAD_SKUS_MAX == 1000000 && LOAD_BATCH_MAX == 65536, "as the texts below say");
static_assert(LOAD_CONNECTIONS_MAX == 10000 && LOAD_IN_FLIGHT_MAX == 64, "as the texts below say");
static_assert(QTY_MAX == 1000000000 && STOCK_MAX == INT64_C(1) << 53, "as the texts below say");

/* What an option takes, for who gave it something else. */
static const char *form_of(int key)
{
    switch (key) {
    case KEY_ORDERS:
        return "must be 1..2^40";
    case KEY_DURATION:
    case KEY_RETAIN:
        return "must be a time above 0 with its unit, as 500ms, 1.5s, 2m or 1h";
    case KEY_WARM_UP:
    case KEY_GIVE_UP:
        return "must be a time with its unit, as 500ms, 1.5s, 2m or 1h";
    case KEY_HOLD:
        return "must be a time from 1ms to 4000000s with its unit, as 15m";
    case KEY_SKUS:
        return "must be 1..1000000";
    case KEY_STOCK:
        return "must be 0..2^53";
    case KEY_ZIPF:
        return "must be 0..10, as 0.8";
    case KEY_HOT_SHARE:
        return "must be 0..100";
    case KEY_QTY_MAX:
        return "must be 1..1000000000";
    case KEY_BUYERS:
        return "must be 1 or more";
    case KEY_MIX:
        return "must be R,C,L with R above 0 and C + L at most R, as 100,60,10";
    case KEY_SEED:
        return "must be a whole number from 0 on";
    case KEY_BATCH:
        return "must be 1..65536";
    case KEY_CONNECTIONS:
        return "must be 1..10000";
    case KEY_IN_FLIGHT:
        return "must be 1..64";
    case KEY_RATE:
        return "must be above 0, orders per second";
    case KEY_SHAPE:
        return "must be flat or 1111";
    default:
        return "is not a value for it";
    }
}

/* Adds an option to the command as it can be shown: secrets are left out. */
static void note_option(struct load_options *options, int key, const char *name, const char *value)
{
    size_t used = strlen(options->command);
    snprintf(options->command + used, sizeof options->command - used, "%s--%s%s%s",
             used > 0 ? " " : "", name, value ? " " : "",
             key == KEY_TOKEN ? "***"
             : value          ? value
                              : "");
}

/* Says what is wrong; with --json as an object too, as the other commands do. */
static enum options_outcome wrong(int argc, char **argv, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum options_outcome wrong(int argc, char **argv, const char *format, ...)
{
    char text[1536];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *at = text; *at; at++) {
        *at = (unsigned char)*at < 0x20 || *at == 0x7F ? '?' : *at; /* nothing a terminal obeys */
    }
    fprintf(stderr, "holdfast load: %s\n'holdfast load --help' lists the options.\n", text);
    for (int i = 1; i < argc; i++) {
        size_t len = strlen(argv[i]);
        if (len >= 3 && strncmp("--json", argv[i], len) == 0) {
            fputs("{\"status\": \"INVALID\", \"message\": ", stdout);
            report_json_text(stdout, text);
            fputs("}\n", stdout);
            break;
        }
    }
    return OPTIONS_WRONG;
}

static enum options_outcome unknown_option(int argc, char **argv, const char *word)
{
    struct suggest suggest;
    char meant[SUGGEST_TEXT_BYTES];
    char option[SUGGEST_WORD_BYTES];
    suggest_begin(&suggest, word);
    for (size_t i = 0; long_options[i].name; i++) {
        snprintf(option, sizeof option, "--%s", long_options[i].name);
        suggest_offer(&suggest, option);
    }
    return wrong(argc, argv, "there is no option %.128s%s", word, suggest_text(&suggest, meant));
}

static enum options_outcome read_token(struct load_options *options, int argc, char **argv)
{
    static char token[TOKEN_BYTES_MAX + 1];
    char reason[1024];
    if (options->token_file) {
        if (!secret_read(options->token_file, token, reason, sizeof reason)) {
            return wrong(argc, argv, "--token-file: %s", reason);
        }
        options->token = token;
    }
    return OPTIONS_RUN;
}

enum options_outcome options_parse(struct load_options *options, int argc, char **argv)
{
    set_defaults(options);
    optind = 0; /* from the start, and argv may be another than last time (getopt(3)) */
    int key;
    int index = -1;
    opterr = 0;
    while ((key = getopt_long(argc, argv, ":h", long_options, &index)) != -1) {
        if (key == '?') {
            return unknown_option(argc, argv, argv[optind - 1]);
        }
        if (key == ':') {
            return wrong(argc, argv, "%s: a value is missing", argv[optind - 1]);
        }
        if (key == KEY_HELP || key == 'h') {
            fputs(help, stdout);
            return OPTIONS_HELP;
        }
        if (!read_choice(options, key, optarg) && !read_quantity(options, key, optarg)) {
            return wrong(argc, argv, "--%s: '%s' %s", long_options[index].name, optarg,
                         form_of(key));
        }
        note_option(options, key, key == KEY_TOKEN ? "token" : long_options[index].name, optarg);
    }
    if (optind < argc) {
        return wrong(argc, argv, "%s: options alone are expected", argv[optind]);
    }
    struct address address;
    char reason[ADDRESS_REASON_BYTES];
    if (!address_parse(options->url, ADDRESS_CONNECT, &address, reason)) {
        return wrong(argc, argv, "--url: '%s': %s", options->url, reason);
    }
    const char *misfit = check_together(options);
    if (misfit) {
        return wrong(argc, argv, "%s", misfit);
    }
    fill_defaults(options);
    return read_token(options, argc, argv);
}
