/* import_check.h - asks an engine what an import would do, and changes nothing.
 *
 * Threads: the main thread. */
#ifndef CLI_IMPORT_CHECK_H
#define CLI_IMPORT_CHECK_H

#include <holdfast/client.h>

#include "cli/import.h"
#include "cli/import_summary.h"
#include "cli/print.h"

/* Asks the engine what import_apply() would do and be refused, and tells in the summary. Changes
 * nothing. OK: all rows were asked about; where any is refused, the import would do nothing and the
 * counts are 0. Else why the engine could not be asked is in summary->message. */
enum hf_status import_check(struct hf_client *client, const struct import *import,
                            struct progress *progress, struct import_summary *summary);

#endif
