/* import_check.h - asks an engine what an import would do, and changes nothing.
 *
 * Threads: the main thread. */
#ifndef CLI_IMPORT_CHECK_H
#define CLI_IMPORT_CHECK_H

#include <holdfast/client.h>

#include "cli/import.h"
#include "cli/import_summary.h"
#include "cli/print.h"

/* Asks the engine what import_apply() would do, and which rows it would refuse, and fills in the
 * summary. Changes nothing. OK: all rows were asked about; if any is refused, the counts are 0,
 * since the import would do nothing. Else summary->message says why the engine could not be asked.
 */
enum hf_status import_check(struct hf_client *client, const struct import *import,
                            struct progress *progress, struct import_summary *summary);

#endif
