/* args.c - command lines: a table of options for each command, and one function that reads them.
 *
 * Threads: the main thread (getopt keeps its place in global variables). */
#include "cli/args.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/suggest.h"
#include "base/times.h"
#include "cli/print.h"
#include "cli/values.h"

#define OPTIONS_MAX  48
#define FIRST_OPTION 256 /* getopt's value of options[0]; below it are characters */
#define HELP_OPTION  (FIRST_OPTION + OPTIONS_MAX)

static void print_usage_line(FILE *to, const struct command_spec *command)
{
    fprintf(to, "usage: holdfast %s [OPTION]...%s%s\n", command->name,
            command->arguments[0] ? " " : "", command->arguments);
}

/* Whether --json was given: a mistake is then reported as JSON, too. */
static bool json_wanted;

int args_wrong(const struct command_spec *command, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "holdfast %s: ", command->name);
    print_safe(stderr, text);
    fputc('\n', stderr);
    print_usage_line(stderr, command);
    if (json_wanted) {
        print_json(error_object(HF_INVALID, text));
    }
    fprintf(stderr, "'holdfast %s --help' explains it.\n", command->name);
    return EXIT_USAGE;
}

#define HELP_COLUMN 26
#define HELP_WIDTH  100

/* An option and what it is for, broken at blanks. */
static void print_option(const char *name, const char *help)
{
    int used = printf("  %-*s  ", HELP_COLUMN - 4, name);
    while (*help) {
        int word = (int)strcspn(help + 1, " ") + 1; /* with the blank before it */
        if (used + word > HELP_WIDTH) {
            printf("\n%*s", HELP_COLUMN, "");
            help += *help == ' ';
            word -= *help != ' ' && help[-1] == ' ';
            used = HELP_COLUMN;
        }
        fwrite(help, 1, (size_t)word, stdout);
        help += word;
        used += word;
    }
    putchar('\n');
}

static void print_help(const struct command_spec *command)
{
    print_usage_line(stdout, command);
    printf("\n%s\nOptions:\n", command->help);
    for (size_t i = 0; i < command->option_count; i++) {
        const struct option_spec *option = &command->options[i];
        char name[64];
        snprintf(name, sizeof name, "--%s%s%s", option->name, option->argument ? " " : "",
                 option->argument ? option->argument : "");
        print_option(name, option->help);
    }
    print_option("--help, -h", "show this help");
}

/* Stores an option's argument where its row in the table points. */
static bool set_option(const struct option_spec *option, const char *text, char *reason)
{
    CHECK(option->kind <= OPTION_CALL);
    if (option->given) {
        *option->given = true;
    }
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)option->value = true;
        return true;
    case OPTION_TEXT:
        *(const char **)option->value = text;
        return true;
    case OPTION_UNSIGNED:
        return parse_unsigned(text, 0, UINT64_MAX, option->value, reason);
    case OPTION_SIGNED:
        return parse_signed(text, INT64_MIN, INT64_MAX, option->value, reason);
    case OPTION_DURATION:
        return parse_duration(text, option->value, reason);
    case OPTION_TIME:
        return parse_sale_time(text, option->value, reason);
    case OPTION_CALL:
        return ((struct option_call *)option->value)->take(option->value, text, reason);
    }
    return false;
}

static void fill_getopt_table(const struct command_spec *command, struct option *table)
{
    CHECK(command->option_count <= OPTIONS_MAX);
    for (size_t i = 0; i < command->option_count; i++) {
        const struct option_spec *option = &command->options[i];
        int wants = option->kind == OPTION_FLAG ? no_argument
                    : option->argument          ? required_argument
                                                : optional_argument;
        table[i] = (struct option){option->name, wants, NULL, FIRST_OPTION + (int)i};
    }
    table[command->option_count] = (struct option){"help", no_argument, NULL, HELP_OPTION};
    table[command->option_count + 1] = (struct option){0};
}

static int check_count(const struct command_spec *command, const struct args *args)
{
    if (args->count < command->arguments_min) {
        return args->count == 0 ? args_wrong(command, "%s is missing", command->arguments)
                                : args_wrong(command, "an argument is missing after '%s'",
                                             args->values[args->count - 1]);
    }
    if (command->arguments_max >= 0 && args->count > command->arguments_max) {
        return args_wrong(command, "'%s' is one argument too many",
                          args->values[command->arguments_max]);
    }
    return ARGS_GO_ON;
}

/* What getopt does not take: what is not there, what may mean two, or a value for a flag. */
static int unknown_option(const struct command_spec *command, const char *word)
{
    const char *name = word + strspn(word, "-");
    size_t len = strcspn(name, "=");
    struct suggest suggest;
    char meant[SUGGEST_TEXT_BYTES];
    char wanted[SUGGEST_WORD_BYTES];
    unsigned alike = 0;
    snprintf(wanted, sizeof wanted, "--%.*s", len < 64 ? (int)len : 64, name);
    suggest_begin(&suggest, wanted);
    for (size_t i = 0; i < command->option_count; i++) {
        char option[SUGGEST_WORD_BYTES];
        snprintf(option, sizeof option, "--%.64s", command->options[i].name);
        bool begins = len > 0 && strncmp(command->options[i].name, name, len) == 0;
        if (begins && name[len] == '=' && command->options[i].kind == OPTION_FLAG) {
            return args_wrong(command, "option %s takes no value: %s", option, word);
        }
        alike += begins;
        suggest_offer(&suggest, option);
    }
    suggest_text(&suggest, meant);
    return alike > 1 ? args_wrong(command, "option %s is ambiguous%s", word, meant)
                     : args_wrong(command, "unknown option %s%s", word, meant);
}

/* What getopt found: an argument, an option, or a mistake. */
static int take(const struct command_spec *command, int found, char **argv, struct args *args)
{
    if (found == 1) {
        CHECK(args->values + args->count < argv + optind); /* it has been read */
        args->values[args->count++] = optarg;
        return ARGS_GO_ON;
    }
    if (found >= '0' && found <= '9') {
        args->values[args->count++] = argv[optind - 1];
        return ARGS_GO_ON;
    }
    if (found == HELP_OPTION || found == 'h') {
        print_help(command);
        return EXIT_DONE;
    }
    if (found == ':') {
        return args_wrong(command, "option %s needs a value", argv[optind - 1]);
    }
    if (found < FIRST_OPTION) {
        return unknown_option(command, argv[optind - 1]);
    }
    const struct option_spec *option = &command->options[found - FIRST_OPTION];
    char reason[REASON_BYTES];
    if (!set_option(option, optarg, reason)) {
        return args_wrong(command, "option --%s: '%s' %s", option->name, optarg, reason);
    }
    return ARGS_GO_ON;
}

bool args_want_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        size_t len = strlen(argv[i]);
        if (len >= 3 && strncmp("--json", argv[i], len) == 0) {
            return true;
        }
    }
    return false;
}

int args_parse(const struct command_spec *command, int argc, char **argv, struct args *args)
{
    json_wanted = args_want_json(argc, argv);
    struct option table[OPTIONS_MAX + 2];
    fill_getopt_table(command, table);
    /* "-": arguments are handed over in their order. Digits are options with an optional argument,
     * so that -15 comes as one piece. */
    const char *letters = command->signed_arguments ? "-:h0::1::2::3::4::5::6::7::8::9::" : "-:h";
    /* Arguments are gathered in argv itself: there are never more than getopt has passed. */
    *args = (struct args){0, argv + 1};
    opterr = 0;
    optind = 0; /* GNU: start again */
    int found;
    while ((found = getopt_long(argc, argv, letters, table, NULL)) != -1) {
        int result = take(command, found, argv, args);
        if (result != ARGS_GO_ON) {
            return result;
        }
    }
    while (optind < argc) { /* after "--" */
        args->values[args->count++] = argv[optind++];
    }
    return check_count(command, args);
}
