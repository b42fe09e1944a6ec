/* args.h - command lines: a table of options for each command, and one function that reads them.
 *
 * Options may be before, between and after the arguments; `--` ends them. Long names may be
 * shortened while they are unambiguous. --help is understood everywhere.
 *
 * Threads: the main thread. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/commands.h"
#include "cli/values.h"

enum option_kind {
    OPTION_FLAG,     /* bool *; no argument */
    OPTION_TEXT,     /* const char ** */
    OPTION_UNSIGNED, /* uint64_t * */
    OPTION_SIGNED,   /* int64_t * */
    OPTION_DURATION, /* uint32_t *, in ms */
    OPTION_TIME,     /* uint64_t *, Unix ms */
    OPTION_CALL,     /* struct option_call *; without `argument` its text may be left out */
};

/* An option that is read elsewhere. */
struct option_call {
    /* text: NULL if it was left out. False: reason (REASON_BYTES) completes "'12x' ...", as "is not
     * a whole number". */
    bool (*take)(struct option_call *call, const char *text, char *reason);
};

struct option_spec {
    const char *name; /* without the dashes */
    enum option_kind kind;
    void *value; /* of the type that the kind names; keeps its value when the option is not given */
    bool *given; /* set to true when it is; NULL: not needed */
    const char *argument; /* its name in the help; NULL for a flag */
    const char *help;     /* one line */
};

struct command_spec {
    const char *name;      /* "stock import" */
    const char *arguments; /* for the usage line: "FILE.csv"; "" if it takes none */
    const char *help;      /* sentences with line ends, printed above the options */
    const struct option_spec *options;
    size_t option_count;
    int arguments_min;
    int arguments_max;     /* -1: any number */
    bool signed_arguments; /* -5 is an argument, not an option */
};

#define ARGS_GO_ON (-1)

struct args {
    int count;
    char **values; /* the arguments that are not options */
};

/* Reads the command line. ARGS_GO_ON, or the exit code: EXIT_DONE when help was asked for and
 * given, EXIT_USAGE when something is wrong; the message has been printed. */
int args_parse(const struct command_spec *command, int argc, char **argv, struct args *args);

/* Whether --json is among the words: a mistake in them is then reported as JSON, too. */
bool args_want_json(int argc, char **argv);

/* Prints what is wrong with the command's usage ("holdfast stock show: ..."), shows the usage line,
 * and returns EXIT_USAGE. With --json it also prints an object with the status INVALID on stdout.
 */
int args_wrong(const struct command_spec *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
