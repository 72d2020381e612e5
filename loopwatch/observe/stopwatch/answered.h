/* What a poll answered, given to the genuine `select`. */

#ifndef LOOPWATCH_ANSWERED_H
#define LOOPWATCH_ANSWERED_H

#include "select.h"

/* What an epoll object answered, or raised, told by the genuine select. Takes over `answer`. */
INTERNAL PyObject *tell_answer(Select *self, PyObject *answer, PyObject *timeout);

INTERNAL extern PyType_Spec answered_spec;

#endif
