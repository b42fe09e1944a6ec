/* status.c - names and meanings of the statuses. Threads: any; static data only. */
#include <holdfast/status.h>

const char *hf_status_name(enum hf_status status)
{
    switch (status) {
#define STATUS_NAME(name, value, text)                                                             \
    case HF_##name:                                                                                \
        return #name;
        HF_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
    }
    /* A newer engine may send a number that this build does not know. */
    return "UNKNOWN";
}

const char *hf_status_text(enum hf_status status)
{
    switch (status) {
#define STATUS_TEXT(name, value, text)                                                             \
    case HF_##name:                                                                                \
        return text;
        HF_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "a status that this version does not know";
}
