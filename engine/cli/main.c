/* main.c - the one binary: finds the subcommand and runs it.
 *
 * Threads: the main thread. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/suggest.h"
#include "cli/allocator.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "cli/process.h"
#include "load/load.h"

static const struct subcommand commands[] = {
    {"serve", command_serve, "run the engine"},
    {"stock", command_stock, "import, list, change and move stock; open, pause and close sales"},
    {"order", command_order, "reserve, commit, release, extend, return, show and list orders"},
    {"load", command_load, "send load to an engine, and check every answer afterwards"},
    {"wal", command_wal, "check, print, replay and repair the write-ahead log"},
    {"reconcile", command_reconcile, "compare an order system's orders with the engine's"},
    {"status", command_status, "show how an engine is doing"},
};

#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static const struct subcommand *find(const struct subcommand *subcommands, unsigned count,
                                     const char *name)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(subcommands[i].name, name) == 0) {
            return &subcommands[i];
        }
    }
    return NULL;
}

static void list_subcommands(FILE *to, const struct subcommand *subcommands, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        fprintf(to, "  %-10s  %s\n", subcommands[i].name, subcommands[i].summary);
    }
}

static bool asks_for_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

static void subcommand_usage(FILE *to, const char *command, const char *summary,
                             const struct subcommand *subcommands, unsigned count)
{
    fprintf(to, "usage: holdfast %s COMMAND [OPTION]... [ARGUMENT]...\n\n%s\n\nCommands:\n",
            command, summary);
    list_subcommands(to, subcommands, count);
    fprintf(to, "\n'holdfast %s COMMAND --help' tells more.\n", command);
}

/* Says what is wrong with a word where a command is expected, and what lists them. word NULL: it is
 * missing. */
static int no_such_command(const char *who, const struct subcommand *subcommands, unsigned count,
                           int argc, char **argv)
{
    char text[512] = "COMMAND is missing";
    char meant[SUGGEST_TEXT_BYTES];
    struct suggest suggest;
    if (argc >= 2) {
        suggest_begin(&suggest, argv[1]);
        for (unsigned i = 0; i < count; i++) {
            suggest_offer(&suggest, subcommands[i].name);
        }
        snprintf(text, sizeof text, "there is no command '%.128s'%s", argv[1],
                 suggest_text(&suggest, meant));
    }
    fprintf(stderr, "%s: ", who);
    print_safe(stderr, text);
    fprintf(stderr, "\n'%s --help' lists the commands.\n", who);
    if (args_want_json(argc, argv)) {
        print_json(error_object(HF_INVALID, text));
    }
    return EXIT_USAGE;
}

/* `stock help import` is `stock import --help`. */
static int help_of(const struct subcommand *found, const char *rest)
{
    char *words[] = {(char *)found->name, rest ? (char *)rest : (char[]){"--help"},
                     (char[]){"--help"}, NULL};
    return found->run(rest ? 3 : 2, words);
}

int run_subcommand(const char *command, const char *summary, const struct subcommand *subcommands,
                   unsigned count, int argc, char **argv)
{
    char who[64];
    snprintf(who, sizeof who, "holdfast %s", command);
    bool help = argc >= 2 && asks_for_help(argv[1]);
    bool of_word = help && argc >= 3 && argv[2][0] != '-';
    if (help && !of_word) {
        subcommand_usage(stdout, command, summary, subcommands, count);
        return EXIT_DONE;
    }
    int shift = of_word ? 1 : 0;
    const struct subcommand *found = argc >= 2 ? find(subcommands, count, argv[1 + shift]) : NULL;
    if (!found) {
        return no_such_command(who, subcommands, count, argc - shift, argv + shift);
    }
    return of_word ? help_of(found, NULL) : found->run(argc - 1, argv + 1);
}

static void usage(FILE *to)
{
    fprintf(to, "usage: holdfast COMMAND [OPTION]... [ARGUMENT]...\n"
                "\n"
                "A flash-sale inventory reservation engine.\n"
                "\n"
                "Commands:\n");
    list_subcommands(to, commands, COMMAND_COUNT);
    fprintf(to,
            "\n"
            "  help      show this, or the help of a command\n"
            "  --version show the version\n"
            "\n"
            "'holdfast COMMAND --help' tells more. Exit codes: 0 done; 1 it ran and the answer\n"
            "is no; 2 wrong usage; 3 the engine can't be reached, or did not answer in time.\n");
}

static int show_version(void)
{
    const char *allocator = cli_allocator();
    printf("holdfast %s\n", HOLDFAST_VERSION);
    printf("allocator: %s%s\n", allocator ? "jemalloc " : "the sanitizer's",
           allocator ? allocator : "");
    return EXIT_DONE;
}

/* `holdfast help stock import` is `holdfast stock import --help`. */
static int help(int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-') {
        usage(stdout);
        return EXIT_DONE;
    }
    const struct subcommand *found = find(commands, COMMAND_COUNT, argv[1]);
    if (!found) {
        return no_such_command("holdfast", commands, COMMAND_COUNT, argc, argv);
    }
    return help_of(found, argc > 2 ? argv[2] : NULL);
}

static int run(int argc, char **argv)
{
    if (argc >= 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)) {
        return show_version();
    }
    if (argc >= 2 && asks_for_help(argv[1])) {
        return help(argc - 1, argv + 1);
    }
    const struct subcommand *found = argc >= 2 ? find(commands, COMMAND_COUNT, argv[1]) : NULL;
    if (!found) {
        int code = no_such_command("holdfast", commands, COMMAND_COUNT, argc, argv);
        if (argc < 2) {
            usage(stderr);
        }
        return code;
    }
    return found->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    process_fill_standard_files();
    return process_end_output(run(argc, argv));
}
