/* status_test.c - the C statuses and the wire contract's say the same, read from the contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <holdfast/status.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NAME_BYTES 64

struct wire_status {
    char name[NAME_BYTES];
    int value;
};

/* Reads "STATUS_name = value;" lines of enum Status; returns how many. */
static size_t read_contract(struct wire_status *statuses, size_t max)
{
    FILE *file = fopen(HOLDFAST_SOURCE_DIR "/proto/holdfast.proto", "r");
    assert_non_null(file);
    char line[256];
    size_t count = 0;
    bool in_enum = false;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "enum Status {", 13) == 0) {
            in_enum = true;
        } else if (in_enum && line[0] == '}') {
            break;
        } else if (in_enum && count < max &&
                   sscanf(line, " STATUS_%63[A-Z_] = %d;", statuses[count].name,
                          &statuses[count].value) == 2) {
            count++;
        }
    }
    fclose(file);
    return count;
}

static void status_names_and_numbers_are_the_contracts(void **state)
{
    (void)state;
    struct wire_status wire[100];
    size_t count = read_contract(wire, 100);
    assert_true(count >= 23); /* as proto/holdfast.proto has them */
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(hf_status_name((enum hf_status)wire[i].value), wire[i].name);
        assert_in_range(wire[i].value, 0, HF_STATUS_LOCAL - 1);
    }
}

static void status_numbers_below_local_are_all_in_the_contract(void **state)
{
    (void)state;
    struct wire_status wire[100];
    size_t count = read_contract(wire, 100);
    size_t known = 0;
    for (int value = 0; value < HF_STATUS_LOCAL; value++) {
        known += strcmp(hf_status_name((enum hf_status)value), "UNKNOWN") != 0;
    }
    assert_int_equal(known, count);
}

static void status_numbers_of_the_design_hold(void **state)
{
    (void)state;
    assert_int_equal(HF_OK, 0);
    assert_int_equal(HF_INVALID, 1);
    assert_int_equal(HF_SOLD_OUT, 11);
    assert_int_equal(HF_EXPIRED_SOLD_OUT, 24);
    assert_int_equal(HF_CONFLICT, 31);
    assert_string_equal(hf_status_name(HF_SOLD_OUT), "SOLD_OUT");
    assert_string_equal(hf_status_name(HF_TIMED_OUT), "TIMED_OUT");
}

static void status_text_has_no_full_stop(void **state)
{
    (void)state;
    for (int value = 0; value < 256; value++) {
        const char *text = hf_status_text((enum hf_status)value);
        assert_true(strlen(text) > 0);
        assert_true(text[strlen(text) - 1] != '.');
    }
    assert_string_equal(hf_status_name((enum hf_status)99), "UNKNOWN");
    assert_string_equal(hf_status_name((enum hf_status)255), "UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_names_and_numbers_are_the_contracts),
        cmocka_unit_test(status_numbers_below_local_are_all_in_the_contract),
        cmocka_unit_test(status_numbers_of_the_design_hold),
        cmocka_unit_test(status_text_has_no_full_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
