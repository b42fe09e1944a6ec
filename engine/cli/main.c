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

static const struct subcommand commands[] = {
    {"serve", cmd_serve, "run the engine"},
    {"stock", cmd_stock, "import, list, change and move stock; open, pause and close sales"},
    {"order", cmd_order, "reserve, commit, release, extend, return, show and list orders"},
    {"load", cmd_load, "send load to an engine, and check every answer afterwards"},
    {"wal", cmd_wal, "check, print, replay and repair the write-ahead log"},
    {"reconcile", cmd_reconcile, "compare an order system's orders with the engine's"},
    {"status", cmd_status, "show how an engine is doing"},
};

static void usage(FILE *to, const struct subcommand_group *group)
{
    fprintf(to, "usage: holdfast COMMAND [OPTION]... [ARGUMENT]...\n"
                "\n"
                "A flash-sale inventory reservation engine.\n"
                "\n"
                "Commands:\n");
    list_subcommands(to, group);
    fprintf(to,
            "\n"
            "  help      show this, or the help of a command\n"
            "  --version show the version\n"
            "\n"
            "'holdfast COMMAND --help' tells more. Exit codes: 0 done; 1 it ran and the answer\n"
            "is no; 2 wrong usage; 3 the engine can't be reached, or did not answer in time.\n");
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
