#define _GNU_SOURCE
#include "CLinuxTerminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static int failed(int descriptor) {
  const int code = errno;
  close(descriptor);
  return -code;
}

// MARK: Terminals

static int open_slave(int master, char *path, size_t path_size) {
  if (grantpt(master) < 0 || unlockpt(master) < 0) return -errno;
  const int code = ptsname_r(master, path, path_size);
  if (code != 0) return -code;
  const int slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) return -errno;
  struct termios settings;
  if (tcgetattr(slave, &settings) < 0) return failed(slave);
  cfmakeraw(&settings);
  if (tcsetattr(slave, TCSANOW, &settings) < 0) return failed(slave);
  return slave;
}

int clinux_pseudo_terminal(int *slave, char *path, size_t path_size) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (master < 0) return -errno;
  *slave = open_slave(master, path, path_size);
  if (*slave >= 0) return master;
  close(master);
  return *slave;
}

int clinux_terminal_name(int master, char *path, size_t path_size) {
  return -ptsname_r(master, path, path_size);
}

static pthread_mutex_t terminal_lock = PTHREAD_MUTEX_INITIALIZER;
static struct termios terminal_before;
static struct termios terminal_raw;
static int terminal = -1;

void clinux_terminal_restore(void) {
  pthread_mutex_lock(&terminal_lock);
  // TCSANOW: waiting for the output to drain would block on a stopped terminal.
  if (terminal >= 0) {
    tcsetattr(terminal, TCSANOW, &terminal_before);
    close(terminal);
    terminal = -1;
  }
  pthread_mutex_unlock(&terminal_lock);
}

void clinux_terminal_size(int descriptor, int *columns, int *rows) {
  struct winsize size = {0};
  if (ioctl(descriptor, TIOCGWINSZ, &size) < 0) size = (struct winsize){0};
  *columns = size.ws_col;
  *rows = size.ws_row;
}

void clinux_terminal_pause(void) {
  if (terminal >= 0) tcsetattr(terminal, TCSANOW, &terminal_before);
}

void clinux_terminal_resume(void) {
  if (terminal >= 0) tcsetattr(terminal, TCSANOW, &terminal_raw);
}

static int make_raw(int descriptor, int keep_signals) {
  static int undone_at_exit;
  if (terminal >= 0) return -EBUSY;
  if (!undone_at_exit && atexit(clinux_terminal_restore) != 0) return -ENOMEM;
  undone_at_exit = 1;
  struct termios settings;
  if (tcgetattr(descriptor, &settings) < 0) return -errno;
  // A descriptor of our own, so that the terminal can be restored even if the caller closes its
  // descriptor.
  const int own = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return -errno;
  terminal_before = settings;
  const tcflag_t output = settings.c_oflag;
  cfmakeraw(&settings);
  settings.c_oflag = output;
  if (keep_signals) settings.c_lflag |= ISIG;
  if (tcsetattr(descriptor, TCSANOW, &settings) < 0) return failed(own);
  terminal_raw = settings;
  terminal = own;
  return 1;
}

int clinux_terminal_make_raw(int descriptor, int keep_signals) {
  if (!isatty(descriptor)) return errno == EBADF ? -EBADF : 0;
  pthread_mutex_lock(&terminal_lock);
  const int result = make_raw(descriptor, keep_signals);
  pthread_mutex_unlock(&terminal_lock);
  return result;
}

// MARK: Streams

// The master of a pseudo-terminal is a terminal too, but opening it again would create a new pair.
static int can_be_opened_again(int descriptor, const struct stat *info) {
  unsigned number;
  return S_ISFIFO(info->st_mode) ||
         (isatty(descriptor) && ioctl(descriptor, TIOCGPTN, &number) < 0);
}

// Opening a pipe or terminal again through /proc gives an open file description of our own, whose
// O_NONBLOCK is not shared. Without permission or /proc this fails, which does no harm.
static int open_again(int descriptor) {
  const int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0) return -errno;
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
  const int number = open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  return number < 0 ? -errno : number;
}

int clinux_stream_open(int descriptor, int *manner) {
  struct stat info;
  if (fstat(descriptor, &info) < 0) return -errno;
  if (can_be_opened_again(descriptor, &info)) {
    const int number = open_again(descriptor);
    *manner = CLINUX_STREAM_NONBLOCKING;
    if (number >= 0) return number;
  }
  *manner = S_ISSOCK(info.st_mode) ? CLINUX_STREAM_SOCKET : CLINUX_STREAM_SHARED;
  const int number = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  return number < 0 ? -errno : number;
}

long clinux_stream_read(int descriptor, int manner, void *bytes, size_t length) {
  ssize_t got;
  do {
    got = manner == CLINUX_STREAM_SOCKET ? recv(descriptor, bytes, length, MSG_DONTWAIT)
                                         : read(descriptor, bytes, length);
  } while (got < 0 && errno == EINTR);
  return got < 0 ? -errno : got;
}

// A write to a pipe without a reader raises SIGPIPE in the calling thread; it is blocked and
// consumed here, so that it does not end the process.
static long write_without_signal(int descriptor, const void *bytes, size_t length) {
  sigset_t pipe, before;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  ssize_t put;
  do {
    put = write(descriptor, bytes, length);
  } while (put < 0 && errno == EINTR);
  const long result = put < 0 ? -errno : put;
  if (sigismember(&before, SIGPIPE)) return result;
  const struct timespec at_once = {0, 0};
  if (result == -EPIPE) sigtimedwait(&pipe, NULL, &at_once);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return result;
}

long clinux_stream_write(int descriptor, int manner, const void *bytes, size_t length) {
  if (manner == CLINUX_STREAM_SOCKET) {
    ssize_t put;
    do {
      put = send(descriptor, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    return put < 0 ? -errno : put;
  }
  if (manner == CLINUX_STREAM_SHARED) {
    struct pollfd polled = {.fd = descriptor, .events = POLLOUT};
    if (poll(&polled, 1, 0) < 0) return errno == EINTR ? -EAGAIN : -errno;
    if (polled.revents == 0) return -EAGAIN;
    // POLLOUT of a pipe guarantees room for this much.
    if (length > PIPE_BUF) length = PIPE_BUF;
  }
  return write_without_signal(descriptor, bytes, length);
}
