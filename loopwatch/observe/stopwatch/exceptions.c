/* Who is to hear of an exception; see exceptions.h. */

#include "exceptions.h"

int
goes_on(Module *module)
{
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    if (trace == NULL && PyErr_GivenExceptionMatches(kind, PyExc_Exception)) { /* no Python ran: mostly no such name */
        drop(kind, error, trace);
        return 0;
    }
    PyErr_NormalizeException(&kind, &error, &trace);
    if (trace != NULL) {
        (void)PyException_SetTraceback(error, trace);
    }
    PyObject *answer = PyObject_CallOneArg(module->theirs, error);
    int theirs = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    if (theirs <= 0) { /* below zero: it was interrupted itself */
        drop(kind, error, trace);
        return theirs < 0;
    }
    PyErr_Restore(kind, error, trace);
    return 1;
}

void
begin_finally(Leaving *leaving)
{
    PyErr_Fetch(&leaving->kind, &leaving->error, &leaving->trace);
    PyErr_NormalizeException(&leaving->kind, &leaving->error, &leaving->trace);
    if (leaving->trace != NULL) {
        (void)PyException_SetTraceback(leaving->error, leaving->trace);
    }
    PyErr_GetExcInfo(&leaving->outer_kind, &leaving->outer_error, &leaving->outer_trace);
    Py_XINCREF(leaving->kind);
    Py_XINCREF(leaving->error);
    Py_XINCREF(leaving->trace);
    PyErr_SetExcInfo(leaving->kind, leaving->error, leaving->trace);
}

void
end_finally(Leaving *leaving, int failed)
{
    PyErr_SetExcInfo(leaving->outer_kind, leaving->outer_error, leaving->outer_trace);
    if (failed) {
        drop(leaving->kind, leaving->error, leaving->trace);
    }
    else {
        PyErr_Restore(leaving->kind, leaving->error, leaving->trace);
    }
}
