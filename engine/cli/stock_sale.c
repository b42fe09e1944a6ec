/* stock_sale.c - `holdfast stock open`, `close`, `pause` and `resume`: when a SKU is sold; and what
 * any change of its rules is reported as.
 *
 * `pause` and `resume` are one switch, `open` and `close` change the times. None touches what it is
 * not about, and each says what was and what is.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/sale.h"
#include "cli/stock.h"
#include "cli/values.h"

static struct connection connection;

/* ---- Reporting ---- */

enum hf_status sale_read(struct hf_client *client, const char *sku, struct hf_sku_rules *rules)
{
    *rules = (struct hf_sku_rules){0};
    return hf_get_skus(client, &sku, 1, rules);
}

static void moment_text(uint64_t unix_ms, char text[TIME_TEXT_BYTES])
{
    if (unix_ms == 0) {
        snprintf(text, TIME_TEXT_BYTES, "none");
    } else {
        time_local_text(unix_ms, text);
    }
}

static void tell_moment(const char *name, uint64_t was, uint64_t is, json_t *changed)
{
    char texts[2][TIME_TEXT_BYTES];
    if (was == is) {
        return;
    }
    moment_text(was, texts[0]);
    moment_text(is, texts[1]);
    if (changed) {
        json_object_set_new(changed, name,
                            json_pack("{s:I, s:I, s:s}", "was_ms", (json_int_t)was, "is_ms",
                                      (json_int_t)is, "is", texts[1]));
    } else {
        printf("  %s was %s, is now %s\n", name, texts[0], texts[1]);
    }
}

static void warn(json_t *warnings, const char *format, const char *argument)
{
    char text[256];
    snprintf(text, sizeof text, format, argument);
    fputs("warning: ", stderr);
    print_safe(stderr, text);
    fputc('\n', stderr);
    if (warnings) {
        json_array_append_new(warnings, json_string(text));
    }
}

/* Why a SKU that is meant to be sold, now or later, is not. */
static void warn_of_rules(const struct hf_sku_rules *is, enum sale_wish wish, uint64_t now_ms,
                          json_t *warnings)
{
    char when[TIME_TEXT_BYTES];
    if (wish == SALE_ANY) {
        return;
    }
    if (is->paused && wish != SALE_ENDS) {
        warn(warnings, "the sale is paused: `holdfast stock resume %s` goes on with it", is->sku);
    }
    if (is->closes_at_ms != 0 && is->closes_at_ms <= now_ms) {
        time_local_text(is->closes_at_ms, when);
        warn(warnings, "the sale has ended already: closes_at, %s, is past", when);
    } else if (is->opens_at_ms > now_ms && wish == SALE_NOW) {
        time_local_text(is->opens_at_ms, when);
        warn(warnings, "the sale is not open yet: opens_at is %s", when);
    }
}

void sale_report(const struct hf_sku_rules *was, const struct hf_sku_rules *is, const char *done,
                 enum sale_wish wish, uint64_t now_ms, bool json)
{
    json_t *changed = json ? json_object() : NULL;
    json_t *warnings = json ? json_array() : NULL;
    if (!json) {
        print_safe(stdout, is->sku);
        printf(": %s\n", done);
    }
    tell_moment("opens_at", was->opens_at_ms, is->opens_at_ms, changed);
    tell_moment("closes_at", was->closes_at_ms, is->closes_at_ms, changed);
    warn_of_rules(is, wish, now_ms, warnings);
    if (json) {
        print_json(json_pack("{s:s, s:s, s:s, s:b, s:o, s:o}", "sku", is->sku, "status", "OK",
                             "done", done, "paused", (int)is->paused, "changed", changed,
                             "warnings", warnings));
    }
}

/* ---- open, close, pause, resume ---- */

static uint64_t at_ms;
static bool has_at;

static const struct option_spec at_options[] = {
    {"at", OPTION_TIME, &at_ms, &has_at, "TIME",
     "not now but then, as '2026-11-11 00:00' (local time) or 2026-11-11T00:00:00+08:00"},
    CONNECTION_OPTIONS(connection),
};

static const struct option_spec plain_options[] = {CONNECTION_OPTIONS(connection)};

#define DONE_BYTES (TIME_TEXT_BYTES + 16u)

/* "closed", or "closes at 2026-11-12 00:00:00 +08:00". */
static void done_text(char text[DONE_BYTES], const char *now, const char *later)
{
    char when[TIME_TEXT_BYTES];
    time_local_text(at_ms, when);
    snprintf(text, DONE_BYTES, "%s%s%s", has_at ? later : now, has_at ? " " : "",
             has_at ? when : "");
}

static int tell_refused(enum hf_status status, const char *text)
{
    if (connection.json) {
        print_json(error_object(status, text));
    }
    return connect_say(status, text);
}

/* A SKU's code may hold an @; one that the engine does not know is most often meant as SKU@POOL. */
static int no_such_sku(struct hf_client *client, const char *code)
{
    struct item_name item;
    char reason[REASON_BYTES];
    char text[CONNECT_REASON_BYTES];
    connect_reason(HF_UNKNOWN_ITEM, code, text);
    if (parse_item(code, &item, reason) && item.has_pool) {
        snprintf(text, sizeof text,
                 "%s: there is no such SKU; a sale's rules belong to the SKU in "
                 "all its pools: name it without a pool, as %s",
                 code, item.sku);
    } else {
        size_t used = strlen(text);
        char meant[SUGGEST_TEXT_BYTES];
        snprintf(text + used, sizeof text - used, "%s", stock_meant(client, code, meant));
    }
    return tell_refused(HF_UNKNOWN_ITEM, text);
}

/* The times that stand in the way of a change, as people read them. */
static int change_refused(enum hf_status status, const char *code, const struct hf_sku_rules *was)
{
    char text[CONNECT_REASON_BYTES];
    char opens[TIME_TEXT_BYTES];
    char closes[TIME_TEXT_BYTES];
    connect_reason(status, code, text);
    size_t used = strlen(text);
    if (status == HF_INVALID) {
        moment_text(was->opens_at_ms, opens);
        moment_text(was->closes_at_ms, closes);
        snprintf(text + used, sizeof text - used,
                 "; opens_at is %s, closes_at is %s: `holdfast stock define` changes both at once, "
                 "`holdfast stock pause` keeps a sale from opening",
                 opens, closes);
    }
    return tell_refused(status, text);
}

/* What a command changes in a SKU whose rules are as they are. */
typedef struct hf_sku (*sale_change)(const struct hf_sku_rules *was, uint64_t now_ms);

/* Changes the rules of a SKU that exists: a misspelt code must not make a new one. */
static enum hf_status change_rules(struct hf_client *client, const char *code, sale_change change,
                                   struct hf_sku_rules *was, struct hf_sku_rules *is)
{
    enum hf_status status = sale_read(client, code, was);
    if (status != HF_OK) {
        return status;
    }
    struct hf_sku sku = change(was, connect_engine_ms(client));
    sku.sku = code;
    if (sku.fields != 0) {
        status = hf_define(client, &sku, 1, NULL, 0, NULL);
    }
    return status == HF_OK ? sale_read(client, code, is) : status;
}

static int run_change(const struct command_spec *spec, int argc, char **argv, sale_change change,
                      const char *const done[2], enum sale_wish wish)
{
    struct args args;
    struct hf_client *client;
    struct hf_sku_rules was;
    struct hf_sku_rules is;
    char code[HF_CODE_BYTES];
    char reason[REASON_BYTES];
    int result = args_parse(spec, argc, argv, &args);
    if (result == ARGS_GO_ON && !parse_code(args.values[0], code, reason)) {
        result = args_wrong(spec, "'%s' %s", args.values[0], reason);
    }
    if (result == ARGS_GO_ON && has_at && at_ms == 0) {
        result = args_wrong(spec, "option --at: 0 is no time");
    }
    if (result == ARGS_GO_ON) {
        result = connect_open(spec, &connection, &client);
    }
    if (result != ARGS_GO_ON) {
        return result;
    }
    enum hf_status status = change_rules(client, code, change, &was, &is);
    if (status == HF_OK) {
        char text[DONE_BYTES];
        done_text(text, done[0], done[1]);
        /* That a sale is closed now is what was asked for. */
        sale_report(&was, &is, text, wish == SALE_ENDS && !has_at ? SALE_ANY : wish,
                    connect_engine_ms(client), connection.json);
        result = EXIT_DONE;
    } else {
        result = status == HF_UNKNOWN_ITEM ? no_such_sku(client, code)
                                           : change_refused(status, code, &was);
    }
    hf_client_close(client);
    return result;
}

static const struct command_spec open_spec = {
    .name = "stock open",
    .arguments = "SKU",
    .help =
        "Opens a SKU's sale, now or at a time: sets opens_at, and takes back a closes_at that is\n"
        "past. A closes_at to come stays, and a sale that is paused stays paused: see `holdfast\n"
        "stock resume`.\n",
    .options = at_options,
    .option_count = sizeof at_options / sizeof *at_options,
    .arguments_min = 1,
    .arguments_max = 1,
};

/* A closing time that has passed says nothing any more but that the sale is closed. */
static struct hf_sku opened(const struct hf_sku_rules *was, uint64_t now_ms)
{
    struct hf_sku sku = {.opens_at_ms = has_at ? at_ms : 0};
    if (has_at || was->opens_at_ms > now_ms) {
        sku.fields |= HF_SKU_OPENS_AT;
    }
    if (was->closes_at_ms != 0 && was->closes_at_ms <= now_ms) {
        sku.fields |= HF_SKU_CLOSES_AT;
    }
    return sku;
}

int cmd_stock_open(int argc, char **argv)
{
    static const char *const done[2] = {"open", "opens at"};
    return run_change(&open_spec, argc, argv, opened, done, SALE_LATER);
}

static const struct command_spec close_spec = {
    .name = "stock close",
    .arguments = "SKU",
    .help = "Closes a SKU's sale, now or at a time: sets closes_at, and reserves are then refused\n"
            "with CLOSED. Orders that are held stay, and can be committed.\n",
    .options = at_options,
    .option_count = sizeof at_options / sizeof *at_options,
    .arguments_min = 1,
    .arguments_max = 1,
};

static struct hf_sku closed(const struct hf_sku_rules *was, uint64_t now_ms)
{
    bool is_closed = was->closes_at_ms != 0 && was->closes_at_ms <= now_ms;
    return (struct hf_sku){.closes_at_ms = has_at ? at_ms : now_ms,
                           .fields = has_at || !is_closed ? HF_SKU_CLOSES_AT : 0u};
}

int cmd_stock_close(int argc, char **argv)
{
    static const char *const done[2] = {"closed", "closes at"};
    return run_change(&close_spec, argc, argv, closed, done, SALE_ENDS);
}

static const struct command_spec pause_spec = {
    .name = "stock pause",
    .arguments = "SKU",
    .help =
        "Pauses a SKU's sale: reserves are refused with PAUSED until `holdfast stock resume`. Its\n"
        "times stay as they are. Orders that are held stay, and can be committed.\n",
    .options = plain_options,
    .option_count = sizeof plain_options / sizeof *plain_options,
    .arguments_min = 1,
    .arguments_max = 1,
};

static struct hf_sku paused(const struct hf_sku_rules *was, uint64_t now_ms)
{
    (void)was;
    (void)now_ms;
    return (struct hf_sku){.paused = true, .fields = HF_SKU_PAUSED};
}

int cmd_stock_pause(int argc, char **argv)
{
    static const char *const done[2] = {"paused", "paused"};
    return run_change(&pause_spec, argc, argv, paused, done, SALE_ANY);
}

static const struct command_spec resume_spec = {
    .name = "stock resume",
    .arguments = "SKU",
    .help =
        "Goes on with a SKU's sale that is paused. Its times stay as they are: where it has not\n"
        "opened yet, or is closed, that is said.\n",
    .options = plain_options,
    .option_count = sizeof plain_options / sizeof *plain_options,
    .arguments_min = 1,
    .arguments_max = 1,
};

static struct hf_sku resumed(const struct hf_sku_rules *was, uint64_t now_ms)
{
    (void)was;
    (void)now_ms;
    return (struct hf_sku){.fields = HF_SKU_PAUSED};
}

int cmd_stock_resume(int argc, char **argv)
{
    static const char *const done[2] = {"resumed", "resumed"};
    return run_change(&resume_spec, argc, argv, resumed, done, SALE_NOW);
}
