/* subcommand.h - finds the word of a command line that names a command, and runs it.
 *
 * A command gets its own part of the command line: argv[0] is its name. It returns the process's
 * exit code.
 *
 * Threads: the main thread. */
#ifndef CLI_SUBCOMMAND_H
#define CLI_SUBCOMMAND_H

#include <stdio.h>

/* A command, as `stock`, or a word below it, as `import`. */
struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
    const char *heading; /* printed above it if it differs from the one before; NULL: no heading */
};

/* The commands that may follow a word. */
struct subcommand_group {
    const char *name;    /* the words before them: "holdfast stock" */
    const char *summary; /* a sentence for the help */
    const struct subcommand *subcommands;
    unsigned count;
    /* Prints the group's help; NULL: name, summary and the list. */
    void (*usage)(FILE *to, const struct subcommand_group *group);
};

/* Runs argv[1] as one of the group's commands; also answers `help`, `help COMMAND` and --help. */
int run_subcommand(const struct subcommand_group *group, int argc, char **argv);

/* The group's commands with their summaries, a line each. */
void list_subcommands(FILE *to, const struct subcommand_group *group);

#endif
