/* sale.c - how a change of a SKU's rules is reported.
 *
 * Threads: the main thread. */
#include "cli/sale.h"

#include <stdio.h>

#include "cli/print.h"

enum hf_status sale_read(struct hf_client *client, const char *sku, struct hf_sku_rules *rules)
{
    *rules = (struct hf_sku_rules){0};
    return hf_get_skus(client, &sku, 1, rules);
}

void sale_moment_text(uint64_t unix_ms, char text[TIME_TEXT_BYTES])
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
    sale_moment_text(was, texts[0]);
    sale_moment_text(is, texts[1]);
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
        warn(warnings, "the sale is paused: `holdfast stock resume %s` continues it", is->sku);
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
