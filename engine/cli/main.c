/* main.c - the one binary: its commands, its help and its version.
 *
 * Threads: the main thread. */
#include <stdio.h>
#include <string.h>

#include "cli/allocator.h"
#include "cli/commands.h"
#include "cli/process.h"
#include "cli/subcommand.h"
#include "load/load.h"

#define RUN        "Run an engine"
#define STOREFRONT "For a storefront: what its servers do through the client library, by hand"
#define OPERATOR   "For an operator"
#define LOAD       "For a load test"

static const struct subcommand commands[] = {
    {"serve", cmd_serve, "keep stock and orders, answer clients, write the log", RUN},
    {"order", cmd_order, "reserve, commit, release, extend, return, show and list orders",
     STOREFRONT},
    {"stock", cmd_stock, "import, list, change and move stock; open, pause and close sales",
     OPERATOR},
    {"status", cmd_status, "show how an engine is doing", OPERATOR},
    {"reconcile", cmd_reconcile, "compare an order system's orders with the engine's", OPERATOR},
    {"wal", cmd_wal, "check, print, replay and repair the write-ahead log", OPERATOR},
    {"load", cmd_load, "send load to an engine, and check every answer afterwards", LOAD},
};

static void usage(FILE *to, const struct subcommand_group *group)
{
    fprintf(to,
            "usage: holdfast COMMAND [OPTION]... [ARGUMENT]...\n"
            "\n"
            "Holdfast keeps the stock of a flash sale: it holds units for buyers, sells them, and\n"
            "never promises a unit twice.\n"
            "\n"
            "Commands:\n");
    list_subcommands(to, group);
    fprintf(to,
            "\n"
            "  help COMMAND   explain a command, as COMMAND --help does\n"
            "  --version      show the version\n"
            "\n"
            "A first try, with an engine in another terminal (holdfast serve --data ./try):\n"
            "  holdfast stock define PHONE\n"
            "  holdfast stock adjust PHONE =100\n"
            "  holdfast order reserve 4711 PHONE:2 --buyer alice\n"
            "  holdfast order commit 4711\n"
            "\n"
            "Exit codes: 0 done; 1 refused, not found or damaged; 2 wrong usage; 3 no answer from\n"
            "the engine.\n");
}

static const struct subcommand_group holdfast = {
    .name = "holdfast",
    .subcommands = commands,
    .count = sizeof commands / sizeof *commands,
    .usage = usage,
};

static int show_version(void)
{
    const char *allocator = cli_allocator();
    printf("holdfast %s\n", HOLDFAST_VERSION);
    printf("allocator: %s%s\n", allocator ? "jemalloc " : "the sanitizer's",
           allocator ? allocator : "");
    return EXIT_DONE;
}

static int run(int argc, char **argv)
{
    if (argc >= 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)) {
        return show_version();
    }
    int code = run_subcommand(&holdfast, argc, argv);
    if (argc < 2) {
        usage(stderr, &holdfast);
    }
    return code;
}

int main(int argc, char **argv)
{
    process_fill_standard_files();
    return process_end_output(run(argc, argv));
}
