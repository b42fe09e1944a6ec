/* connect.h - what the commands that talk to an engine have in common: options, opening a client,
 * and reporting what went wrong.
 *
 * Threads: the main thread. */
#ifndef CLI_CONNECT_H
#define CLI_CONNECT_H

#include <stdbool.h>

#include <holdfast/client.h>

#include "cli/args.h"

#define URL_DEFAULT "tcp://127.0.0.1:7411"

/* The end of the help of a command that talks to an engine. */
#define ENGINE_HELP                                                                                \
    "\nNeeds a running engine (--url). Exit codes: 0 done; 1 refused or not found; 2 wrong "       \
    "usage;\n"                                                                                     \
    "3 no answer from the engine.\n"

struct connection {
    const char *url;
    uint32_t timeout_ms;
    bool timeout_given;
    const char *token;
    const char *token_file;
    bool json;
    bool step_by_step; /* of a command that may take many steps: without --timeout each of them has
                          the default, and all together have no limit */
};

/* Rows of a command's option table; `c` is the command's struct connection. --timeout is for the
 * whole command: connecting, all its calls, and their repetitions. */
#define CONNECTION_OPTIONS(c)                                                                      \
    CONNECTION_OPTIONS_WITH(c, "the longest that the whole command may take (default: 5s)")
#define CONNECTION_OPTIONS_STEP_BY_STEP(c)                                                         \
    CONNECTION_OPTIONS_WITH(c, "the longest that the whole command may take (default: 5s for "     \
                               "each answer, no other limit)")
#define CONNECTION_OPTIONS_WITH(c, timeout_help)                                                     \
    {"url", OPTION_TEXT, &(c).url,                                                                   \
     NULL,  "URL",       "the engine's address (default: $HOLDFAST_URL, else " URL_DEFAULT ")"},     \
        {"timeout", OPTION_DURATION, &(c).timeout_ms, &(c).timeout_given, "DURATION", timeout_help}, \
        {"token",                                                                                    \
         OPTION_TEXT,                                                                                \
         &(c).token,                                                                                 \
         NULL,                                                                                       \
         "TEXT",                                                                                     \
         "the secret that the engine asks for, if it has one (default: $HOLDFAST_TOKEN)"},           \
        {"token-file", OPTION_TEXT, &(c).token_file,                                                 \
         NULL,         "FILE",      "read the token from a file: `ps` then does not show it"},       \
    {                                                                                                \
        "json", OPTION_FLAG, &(c).json, NULL, NULL, "print JSON"                                     \
    }

/* Opens a client. ARGS_GO_ON, or the exit code; the message has been printed. */
int connect_open(const struct command_spec *command, const struct connection *connection,
                 struct hf_client **client);

#define CONNECT_REASON_BYTES 768u

/* Why a call failed, "line 2 (GIFT@default): fewer units are free than asked". subject: what the
 * call was about; NULL if the message is clear without it. Call it directly after the call that
 * failed. */
void connect_reason(enum hf_status status, const char *subject, char text[CONNECT_REASON_BYTES]);

/* Prints the text on stderr, after the name of the status; returns the exit code that goes with the
 * status. */
int connect_say(enum hf_status status, const char *text);

/* Both, and with --json an object with status and message on stdout: all that a command which has
 * nothing else to print does about a failure. */
int connect_failed(enum hf_status status, const char *subject);

/* The engine's wall time, by which sales open and close and which deadlines are in. This machine's
 * clock may be wrong, or it may not be the engine's machine: it is used only if the engine does not
 * report its time. Replaces hf_last_message() then. */
uint64_t connect_engine_ms(struct hf_client *client);

/* The exit code that goes with a status. */
int exit_code_of(enum hf_status status);

#endif
