/* serve.c - `holdfast serve`: reads the settings and runs an engine until it is told to stop. */
#include <stdio.h>
#include <string.h>

#include "cli/allocator.h"
#include "cli/commands.h"
#include "cli/serve_stream.h"
#include "server/server.h"

#define EXIT_USAGE 2

static void print_help(void)
{
    printf("usage: holdfast serve [--data DIR] [--listen URL]... [--config FILE] [SETTING]...\n\n"
           "Runs an engine on the log in DIR until SIGTERM or SIGINT. Prints the addresses it\n"
           "listens on, those of the change stream first, and then \"ready\", a line each.\n\n"
           "Settings, also as NAME = VALUE in the config file (options win over the file):\n");
    config_print_help(stdout);
    printf("  --%-23s read settings from an INI file\n  --%-23s this text\n\n", "config FILE",
           "help");
    printf(
        "A SIZE is in bytes, or with K, M or G: 64M. A DURATION is in ms, or with s, m, h or d:\n"
        "15m.\n\n");
    printf(
        "Exit: 0 stopped when told; 1 it can't start: the directory is in use, damaged or can't\n"
        "be made, or an address can't be listened on; 2 wrong usage; 4 a write to the log\n"
        "failed; 130 a second signal came.\n");
}

static int usage_error(const char *message)
{
    fprintf(stderr,
            "holdfast serve: %s\nusage: holdfast serve [--data DIR] [--listen URL]... "
            "[--config FILE] [SETTING]...; --help lists the settings\n",
            message);
    return EXIT_USAGE;
}

/* Splits "--name=value" or "--name value". False: no value is there. */
static bool take_option(int argc, char **argv, int *at, char *name, size_t name_bytes,
                        const char **value)
{
    const char *option = argv[*at] + 2;
    const char *equals = strchr(option, '=');
    size_t len = equals ? (size_t)(equals - option) : strlen(option);
    if (len >= name_bytes) {
        len = name_bytes - 1;
    }
    memcpy(name, option, len);
    name[len] = '\0';
    if (equals) {
        *value = equals + 1;
    } else if (*at + 1 < argc) {
        *value = argv[++*at];
    } else {
        return false;
    }
    return true;
}

/* One pass over the options: the file's settings first, then the others, so that options win. */
static bool read_options(int argc, char **argv, bool only_file, struct config *config, char *error,
                         size_t error_bytes)
{
    for (int at = 1; at < argc; at++) {
        char name[64];
        const char *value;
        if (strncmp(argv[at], "--", 2) != 0) {
            snprintf(error, error_bytes, "\"%s\" is not an option", argv[at]);
            return false;
        }
        bool has_value = take_option(argc, argv, &at, name, sizeof name, &value);
        if (strcmp(name, "config") != 0 && !config_knows(name)) {
            snprintf(error, error_bytes, "--%s: there is no such setting", name);
            return false;
        }
        if (!has_value) {
            snprintf(error, error_bytes, "--%s: a value is missing", name);
            return false;
        }
        bool is_file = strcmp(name, "config") == 0;
        if (is_file != only_file) {
            continue;
        }
        if (is_file ? !config_read(config, value, error, error_bytes)
                    : !config_set(config, name, value, false, error, error_bytes)) {
            return false;
        }
    }
    return true;
}

int command_serve(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help();
            return 0;
        }
    }
    server_guard_process();
    static struct config config;
    char error[512];
    config_init(&config);
    if (!read_options(argc, argv, true, &config, error, sizeof error) ||
        !read_options(argc, argv, false, &config, error, sizeof error) ||
        !config_check(&config, error, sizeof error)) {
        return usage_error(error);
    }
    log_set_level(config.log_level);
    const char *allocator = cli_allocator();
    log_info("holdfast %s, %s%s", HOLDFAST_VERSION, allocator ? "jemalloc " : "system allocator",
             allocator ? allocator : "");
    if (!serve_stream_start(config.data, config.archive_dir, config.stream, config.stream_fetch,
                            config.token)) {
        return SERVER_REFUSED;
    }
    int code = server_run(&config, stdout);
    serve_stream_stop();
    return code;
}
