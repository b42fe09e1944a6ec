/* stock_sale.c - `holdfast stock open`, `close`, `pause` and `resume`: when a SKU is sold.
 *
 * `pause` and `resume` are one switch, `open` and `close` change the times. Each changes nothing
 * else, and prints the old and the new values.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/times.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/sale.h"
#include "cli/stock_find.h"
#include "cli/values.h"

static struct connection connection;

static uint64_t at_ms;
static bool has_at;

static const struct option_spec at_options[] = {
    {"at", OPTION_TIME, &at_ms, &has_at, "TIME",
     "at this time instead of now, as '2026-11-11 00:00' (local time) or "
     "2026-11-11T00:00:00+08:00"},
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
        snprintf(
            text, sizeof text,
            "%s: there is no such SKU; the rules of a sale are those of the SKU in all its pools: "
            "name it without a pool, as %s",
            code, item.sku);
    } else {
        size_t used = strlen(text);
        char meant[SUGGEST_TEXT_BYTES];
        snprintf(text + used, sizeof text - used, "%s", stock_meant(client, code, meant));
    }
    return tell_refused(HF_UNKNOWN_ITEM, text);
}

/* Prints why a change was refused, with the times that prevent it. */
static int change_refused(enum hf_status status, const char *code, const struct hf_sku_rules *was)
{
    char text[CONNECT_REASON_BYTES];
    char opens[TIME_TEXT_BYTES];
    char closes[TIME_TEXT_BYTES];
    connect_reason(status, code, text);
    size_t used = strlen(text);
    if (status == HF_INVALID) {
        sale_moment_text(was->opens_at_ms, opens);
        sale_moment_text(was->closes_at_ms, closes);
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

/* One of the four commands. */
struct sale_command {
    struct command_spec spec;
    sale_change change;
    const char *done[2]; /* what is reported: without --at, with it */
    enum sale_wish wish;
};

#define SPEC_OF_SKU(NAME, OPTIONS, HELP)                                                           \
    {                                                                                              \
        .name = (NAME), .arguments = "SKU", .help = HELP, .options = (OPTIONS),                    \
        .option_count = sizeof(OPTIONS) / sizeof *(OPTIONS), .arguments_min = 1,                   \
        .arguments_max = 1                                                                         \
    }

static int run_change(const struct sale_command *command, int argc, char **argv)
{
    const struct command_spec *spec = &command->spec;
    enum sale_wish wish = command->wish;
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
        result = args_wrong(spec, "option --at: 0 is not a time; leave --at out for now");
    }
    if (result == ARGS_GO_ON) {
        result = connect_open(spec, &connection, &client);
    }
    if (result != ARGS_GO_ON) {
        return result;
    }
    enum hf_status status = change_rules(client, code, command->change, &was, &is);
    if (status == HF_OK) {
        char text[DONE_BYTES];
        done_text(text, command->done[0], command->done[1]);
        /* A sale that is closed now is what was asked for. */
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

/* A closing time that is past would keep the sale closed, so it is removed. */
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

static const struct sale_command open_command = {
    .spec = SPEC_OF_SKU(
        "stock open", at_options,
        "Opens a SKU's sale in all its pools, now or at a later time: sets opens_at, and\n"
        "removes a closes_at that is past. A closes_at that is still to come stays, and a\n"
        "paused sale stays paused (see `holdfast stock resume`).\n"
        "\n"
        "  holdfast stock open 85123A\n"
        "  holdfast stock open 85123A --at '2026-11-11 00:00'\n" ENGINE_HELP),
    .change = opened,
    .done = {"open", "opens at"},
    .wish = SALE_LATER,
};

int cmd_stock_open(int argc, char **argv)
{
    return run_change(&open_command, argc, argv);
}

static struct hf_sku closed(const struct hf_sku_rules *was, uint64_t now_ms)
{
    bool is_closed = was->closes_at_ms != 0 && was->closes_at_ms <= now_ms;
    return (struct hf_sku){.closes_at_ms = has_at ? at_ms : now_ms,
                           .fields = has_at || !is_closed ? HF_SKU_CLOSES_AT : 0u};
}

static const struct sale_command close_command = {
    .spec = SPEC_OF_SKU(
        "stock close", at_options,
        "Closes a SKU's sale in all its pools, now or at a later time: sets closes_at.\n"
        "Reserves are then refused with CLOSED. Held orders stay held, and can be committed.\n"
        "\n"
        "  holdfast stock close 85123A\n"
        "  holdfast stock close 85123A --at 2026-11-12T00:00:00+08:00\n" ENGINE_HELP),
    .change = closed,
    .done = {"closed", "closes at"},
    .wish = SALE_ENDS,
};

int cmd_stock_close(int argc, char **argv)
{
    return run_change(&close_command, argc, argv);
}

static struct hf_sku paused(const struct hf_sku_rules *was, uint64_t now_ms)
{
    (void)was;
    (void)now_ms;
    return (struct hf_sku){.paused = true, .fields = HF_SKU_PAUSED};
}

static const struct sale_command pause_command = {
    .spec = SPEC_OF_SKU(
        "stock pause", plain_options,
        "Pauses a SKU's sale in all its pools: reserves are refused with PAUSED until\n"
        "`holdfast stock resume`. opens_at and closes_at stay as they are. Held orders stay\n"
        "held, and can be committed.\n"
        "\n"
        "  holdfast stock pause 85123A\n" ENGINE_HELP),
    .change = paused,
    .done = {"paused", "paused"},
    .wish = SALE_ANY,
};

int cmd_stock_pause(int argc, char **argv)
{
    return run_change(&pause_command, argc, argv);
}

static struct hf_sku resumed(const struct hf_sku_rules *was, uint64_t now_ms)
{
    (void)was;
    (void)now_ms;
    return (struct hf_sku){.fields = HF_SKU_PAUSED};
}

static const struct sale_command resume_command = {
    .spec = SPEC_OF_SKU(
        "stock resume", plain_options,
        "Continues a SKU's sale that is paused. opens_at and closes_at stay as they are: a\n"
        "warning says when the sale has not opened yet, or has closed.\n"
        "\n"
        "  holdfast stock resume 85123A\n" ENGINE_HELP),
    .change = resumed,
    .done = {"resumed", "resumed"},
    .wish = SALE_NOW,
};

int cmd_stock_resume(int argc, char **argv)
{
    return run_change(&resume_command, argc, argv);
}
