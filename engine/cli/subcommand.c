/* subcommand.c - finds the word of a command line that names a command, and runs it.
 *
 * Threads: the main thread. */
#include "cli/subcommand.h"

#include <stdbool.h>
#include <string.h>

#include "base/suggest.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/print.h"

static const struct subcommand *find(const struct subcommand_group *group, const char *name)
{
    for (unsigned i = 0; i < group->count; i++) {
        if (strcmp(group->subcommands[i].name, name) == 0) {
            return &group->subcommands[i];
        }
    }
    return NULL;
}

void list_subcommands(FILE *to, const struct subcommand_group *group)
{
    const char *heading = NULL;
    for (unsigned i = 0; i < group->count; i++) {
        const struct subcommand *subcommand = &group->subcommands[i];
        if (subcommand->heading && (!heading || strcmp(heading, subcommand->heading) != 0)) {
            fprintf(to, " %s\n", subcommand->heading);
        }
        heading = subcommand->heading;
        fprintf(to, "  %-10s  %s\n", subcommand->name, subcommand->summary);
    }
}

static bool asks_for_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

static void subcommand_usage(FILE *to, const struct subcommand_group *group)
{
    fprintf(to, "usage: %s COMMAND [OPTION]... [ARGUMENT]...\n\n%s\n\nCommands:\n", group->name,
            group->summary);
    list_subcommands(to, group);
    fprintf(to, "\n'%s COMMAND --help' explains a command.\n", group->name);
}

/* Prints that a word is not a command, or that it is missing, and how to list the commands. */
static int no_such_command(const struct subcommand_group *group, int argc, char **argv)
{
    char text[512] = "COMMAND is missing";
    char meant[SUGGEST_TEXT_BYTES];
    struct suggest suggest;
    if (argc >= 2) {
        suggest_begin(&suggest, argv[1]);
        for (unsigned i = 0; i < group->count; i++) {
            suggest_offer(&suggest, group->subcommands[i].name);
        }
        snprintf(text, sizeof text, "there is no command '%.128s'%s", argv[1],
                 suggest_text(&suggest, meant));
    }
    fprintf(stderr, "%s: ", group->name);
    print_safe(stderr, text);
    fprintf(stderr, "\n'%s --help' lists the commands.\n", group->name);
    if (args_want_json(argc, argv)) {
        print_json(error_object(HF_INVALID, text));
    }
    return EXIT_USAGE;
}

/* `stock help import` is `stock import --help`. rest: the word after it, as in `help stock import`;
 * NULL: it ended there. */
static int help_of(const struct subcommand *found, const char *rest)
{
    char *words[] = {(char *)found->name, rest ? (char *)rest : (char[]){"--help"},
                     (char[]){"--help"}, NULL};
    return found->run(rest ? 3 : 2, words);
}

/* `help`, `help WORD` and `help WORD REST`; argv[0] is `help`. */
static int help(const struct subcommand_group *group, int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-') {
        (group->usage ? group->usage : subcommand_usage)(stdout, group);
        return EXIT_DONE;
    }
    const struct subcommand *found = find(group, argv[1]);
    if (!found) {
        return no_such_command(group, argc, argv);
    }
    return help_of(found, argc > 2 ? argv[2] : NULL);
}

int run_subcommand(const struct subcommand_group *group, int argc, char **argv)
{
    if (argc >= 2 && asks_for_help(argv[1])) {
        return help(group, argc - 1, argv + 1);
    }
    const struct subcommand *found = argc >= 2 ? find(group, argv[1]) : NULL;
    return found ? found->run(argc - 1, argv + 1) : no_such_command(group, argc, argv);
}
