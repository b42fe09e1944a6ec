/* import_apply.h - does what an import's file says.
 *
 * Threads: the main thread; import_apply() has one of its own while it runs. */
#ifndef CLI_IMPORT_APPLY_H
#define CLI_IMPORT_APPLY_H

#include <holdfast/client.h>

#include "cli/import.h"
#include "cli/import_summary.h"
#include "cli/print.h"

/* Defines the items and sets their stock; whatever the file does not name stays as it is. For an
 * import that import_check() has passed: if a row is refused nevertheless, the engine has changed
 * since. OK: every row was answered, and refused rows are in the summary. Else summary->message has
 * the row where it stopped. */
enum hf_status import_apply(struct hf_client *client, const struct import *import,
                            struct progress *progress, struct import_summary *summary);

#endif
