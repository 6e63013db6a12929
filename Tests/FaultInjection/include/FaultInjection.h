#pragma once

// A library for LD_PRELOAD that breaks one system call of a process, chosen by its number. It has no functions of its
// own: it stands in for those of libc that change or read files, counts their calls that concern files in one folder,
// and passes on all others untouched. Environment:
//
//   FAULT_FOLDER   absolute path; files and names in this folder count
//   FAULT_LOG      optional: a file that takes a line "NUMBER KIND PATH" for each call
//   FAULT_CALL     the first call that is broken, counted from 1; 0 or absent breaks none
//   FAULT_COUNT    how many calls are broken from there, of the kinds in FAULT_KINDS; 1 if absent
//   FAULT_KINDS    optional: the kinds that are broken, separated by commas, or all. FAULT_CALL counts all kinds
//   FAULT_ACTION   what happens to them:
//     before        the process ends with status 137 before the call
//     after         the same, after it
//     torn          the same, after half of a write; other calls as with "before"
//     error:NUMBER  the call does nothing and fails with this errno (closing still closes)
//     short         half of a read or write is done and reported
//     flip          a bit is flipped in what is written or read, at a place that FAULT_SEED and the number choose
//
//   FAULT_ARITHMETIC  optional: `up` or `zero` round so, `flush` takes small numbers for zero; set when the library is
//                  loaded, in the thread that all others inherit it from, and again by whoever reads or writes
//
// Kinds: open create read write sync rename remove truncate reserve close folder.
