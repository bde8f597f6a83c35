/* What reading and writing messages share: an internal header of message_read.c and message_write.c. */
#ifndef LOOM_COMMON_MESSAGE_TYPES_H
#define LOOM_COMMON_MESSAGE_TYPES_H

#include "message.h"

#define MESSAGE_VERSION 1
#define MESSAGE_TYPES 9

extern const char *const message_type_names[MESSAGE_TYPES]; /* in the order of enum message_type */

#endif
