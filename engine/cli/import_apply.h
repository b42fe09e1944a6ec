/* import_apply.h - does what an import's file says.
 *
 * Threads: the main thread; import_apply() has one of its own while it runs. */
#ifndef CLI_IMPORT_APPLY_H
#define CLI_IMPORT_APPLY_H

#include <holdfast/client.h>

#include "cli/import.h"
#include "cli/import_summary.h"
#include "cli/print.h"

/* Defines the items and sets their stock; what the file does not say about an item stays as it is.
 * For an import that has been checked: what is refused all the same has changed since. OK:
 * everything was dealt with, refused rows are in the summary; else where it broke off is in
 * summary->message. */
enum hf_status import_apply(struct hf_client *client, const struct import *import,
                            struct progress *progress, struct import_summary *summary);

#endif
