/* serve.c - `holdfast serve`: reads the settings, and runs an engine until a signal stops it.
 *
 * Threads: the main thread. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "cli/allocator.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "feed/feed.h"
#include "server/preflight.h"
#include "server/server.h"

#define SETTINGS_MAX     40u
#define GIVEN_MAX        128u /* options of one command line */
#define HELP_BYTES       256u
#define CONFIG_ERROR_MAX 2048u

/* What the command line set, in its order: applied after the files, so that options override them.
 */
static struct {
    const char *name;
    const char *value;
} given[GIVEN_MAX];
static unsigned given_count;
static bool json;

struct setting_option {
    struct option_call call; /* first: what args.c knows of it */
    const char *name;
    char help[HELP_BYTES];
};

static bool take_setting(struct option_call *call, const char *text, char *reason)
{
    if (given_count == GIVEN_MAX) {
        snprintf(reason, REASON_BYTES, "is one option too many for a command line");
        return false;
    }
    given[given_count].name = ((struct setting_option *)call)->name;
    given[given_count++].value = text ? text : "yes";
    return true;
}

/* The options are the settings, --config and --json. Filled once; the specification points to them.
 */
static struct setting_option settings[SETTINGS_MAX];
static struct option_spec options[SETTINGS_MAX];

#define CONFIG_OPTION "config"

static struct command_spec spec = {
    .name = "serve",
    .arguments = "",
    .help =
        "Runs an engine on the data directory DIR until SIGTERM or SIGINT: it keeps the stock\n"
        "and the orders, answers clients, and writes the log. Makes DIR if there is none. Prints\n"
        "a line for each address that it listens on, those of the change stream first, and then\n"
        "\"ready\"; with --json each line is an object. Diagnostics go to stderr.\n"
        "\n"
        "  holdfast serve --data /var/lib/holdfast --config /etc/holdfast.ini\n"
        "\n"
        "All options except --config and --json can also be in the config file, as NAME = VALUE;\n"
        "an option overrides the file. A SIZE is in bytes, or with K, M or G: 64M. A DURATION is\n"
        "in milliseconds, or with s, m, h or d: 15m.\n"
        "\n"
        "Exit codes: 0 stopped by a signal; 1 it can't start: the directory is in use, damaged or\n"
        "can't be made, or it can't listen on an address; 2 wrong usage; 4 a write to the log\n"
        "failed; 130 a second signal came.\n",
    .options = options,
};

static void add_option(const char *name, const char *argument)
{
    struct setting_option *setting = &settings[spec.option_count];
    setting->name = name;
    setting->call.take = take_setting;
    options[spec.option_count++] = (struct option_spec){
        .name = name,
        .kind = OPTION_CALL,
        .value = &setting->call,
        .argument = argument,
        .help = setting->help,
    };
}

static void fill_options(void)
{
    CHECK(config_setting_count() + 2 <= SETTINGS_MAX);
    spec.option_count = 0;
    given_count = 0;
    for (unsigned i = 0; i < config_setting_count(); i++) {
        struct config_setting setting = config_setting(i);
        snprintf(settings[spec.option_count].help, HELP_BYTES, "%s (default: %s)", setting.help,
                 setting.initial);
        add_option(setting.name, setting.argument);
    }
    snprintf(settings[spec.option_count].help, HELP_BYTES, "read settings from an INI file");
    add_option(CONFIG_OPTION, "FILE");
    options[spec.option_count++] =
        (struct option_spec){"json", OPTION_FLAG, &json, NULL, NULL, "print JSON"};
}

/* The files' settings first, then the others. */
static bool read_settings(struct config *config, char *error)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < given_count; i++) {
            bool is_file = strcmp(given[i].name, CONFIG_OPTION) == 0;
            if (is_file != (pass == 0)) {
                continue;
            }
            if (is_file ? !config_read(config, given[i].value, error, CONFIG_ERROR_MAX)
                        : !config_set(config, given[i].name, given[i].value, false, error,
                                      CONFIG_ERROR_MAX)) {
                return false;
            }
        }
    }
    return config_check(config, error, CONFIG_ERROR_MAX) &&
           config_read_token(config, error, CONFIG_ERROR_MAX);
}

/* Every user of this machine sees it in `ps`. */
static void warn_of_token(void)
{
    for (unsigned i = 0; i < given_count; i++) {
        if (strcmp(given[i].name, "token") == 0) {
            diag_warn("--token on the command line can be seen by every user of this machine: "
                      "use --token-file, which only the file's readers can see");
            return;
        }
    }
}

/* Prints what scripts wait for: "listening on" and the address, or "ready". */
static void announce(const char *what, const char *url)
{
    if (json) {
        print_json_line(url ? json_pack("{s:s, s:s}", "event", what, "url", url)
                            : json_pack("{s:s}", "event", what));
    } else {
        printf(url ? "%s on %s\n" : "%s\n", what, url);
    }
}

/* Starts the change stream, if the settings name an address for it. False: its reason has been
 * printed. */
static bool start_feed(struct feed **feed, const struct config *config)
{
    char why[STREAM_ERROR_BYTES] = "out of memory";
    const struct feed_options wanted = {
        .data = config->data,
        .archive = config->archive_dir[0] ? config->archive_dir : NULL,
        .stream_url = config->stream[0] ? config->stream : NULL,
        .fetch_url = config->stream_fetch[0] ? config->stream_fetch : NULL,
        .token = config->token,
    };
    if (!wanted.stream_url && !wanted.fetch_url) {
        return true;
    }
    if (feed_start(feed, &wanted, why) != HF_OK) {
        diag_error("stream: %s", why);
        return false;
    }
    if (wanted.stream_url) {
        announce("stream listening", feed_stream_url(*feed));
    }
    if (wanted.fetch_url) {
        announce("stream-fetch listening", feed_fetch_url(*feed));
    }
    fflush(stdout);
    return true;
}

static int refused(enum hf_status status, const char *reason)
{
    diag_error("%s", reason);
    if (json) {
        print_json(error_object(status, reason));
    }
    return SERVER_REFUSED;
}

int cmd_serve(int argc, char **argv)
{
    static struct config config;
    static char error[CONFIG_ERROR_MAX];
    struct args args;
    server_guard_process();
    fill_options();
    int code = args_parse(&spec, argc, argv, &args);
    if (code != ARGS_GO_ON) {
        return code;
    }
    config_init(&config);
    if (!read_settings(&config, error)) {
        return config.address_refused ? refused(HF_INVALID, error) : args_wrong(&spec, "%s", error);
    }
    diag_set_level(config.diag_level);
    const char *allocator = cli_allocator();
    diag_info("holdfast %s, %s%s", HOLDFAST_VERSION, allocator ? "jemalloc " : "system allocator",
              allocator ? allocator : "");
    cli_allocator_ready();
    warn_of_token();
    if (!preflight(&config, error)) {
        return refused(HF_INVALID, error);
    }
    struct feed *feed = NULL;
    if (!start_feed(&feed, &config)) {
        return refused(HF_INTERNAL, "the change stream can't be started");
    }
    code = server_run(&config, announce);
    feed_stop(feed);
    if (code == SERVER_REFUSED && json) {
        print_json(
            error_object(HF_INTERNAL, "the engine can't start: its messages on stderr say why"));
    }
    return code;
}
