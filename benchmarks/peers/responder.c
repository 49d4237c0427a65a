/* An HTTP/1.1 server for the benchmarks that is never the bottleneck: one thread, epoll, keep-alive.
 *
 * usage: responder PORT [DELAY_MS]
 *
 * GET  …1k…      200, a JSON document of about 1 KB (also for everything else)
 * GET  …100k…    200, one of about 100 KB
 * GET  …10m…     200, one of about 10 MB
 * GET  …/z/N     200, one of about 1 KB that is another one for each N
 * GET  …/q/N     the same, and a hook takes DELAY_MS over it
 * POST …         200, the body that was sent
 * POST …/204…    204
 *
 * With port 0 it takes a free one. It prints the port, and ends when its standard input does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct connection {
  int fd, asked_to_write, waiting, closing;
  double due;
  char *in;
  size_t in_length, in_room;
  char *out;
  size_t out_length, out_sent, out_room;
  struct connection *next;
};

static char *document_1k, *document_100k, *document_10m;
static size_t length_1k, length_100k, length_10m;
static double delay;
static struct connection *first_waiting, *last_waiting;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void reserve(char **buffer, size_t *room, size_t wanted) {
  if (*room >= wanted) return;
  size_t larger = *room ? *room : 16384;
  while (larger < wanted) larger *= 2;
  *buffer = realloc(*buffer, larger);
  *room = larger;
}

static char *document_of(size_t about, size_t *length) {
  char *text = malloc(about + 256);
  size_t n = (size_t)sprintf(text, "{\"rows\":[");
  for (int i = 0; n + 100 < about; i++)
    n += (size_t)sprintf(text + n, "%s{\"id\":%d,\"name\":\"row number %d\",\"price\":%d.%02d,\"stock\":true}",
                         i ? "," : "", i, i, i % 900 + 10, i % 100);
  n += (size_t)sprintf(text + n, "]}");
  *length = n;
  return text;
}

static void append(struct connection *c, const void *bytes, size_t length) {
  reserve(&c->out, &c->out_room, c->out_length + length);
  memcpy(c->out + c->out_length, bytes, length);
  c->out_length += length;
}

static void answer(struct connection *c, int status, const char *body, size_t length) {
  char head[200];
  int n = status == 204 ? sprintf(head, "HTTP/1.1 204 No Content\r\n\r\n")
                        : sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: max-age=3600\r\nContent-Length: %zu\r\n\r\n", length);
  append(c, head, (size_t)n);
  if (status != 204) append(c, body, length);
}

static void answer_numbered(struct connection *c, char letter, long number) {
  char start[32];
  int n = sprintf(start, "{\"%c\":%08ld,", letter, 10000000 + number % 90000000);
  char head[200];
  int h = sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", length_1k - 1 + (size_t)n);
  append(c, head, (size_t)h);
  append(c, start, (size_t)n);
  append(c, document_1k + 1, length_1k - 1);
}

static const char *header(const char *head, const char *end, const char *name) {
  size_t length = strlen(name);
  for (const char *line = head; line < end;) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    if (!stop) break;
    if ((size_t)(stop - line) > length && !strncasecmp(line, name, length) && line[length] == ':') {
      line += length + 1;
      while (*line == ' ') line++;
      return line;
    }
    line = stop + 1;
  }
  return NULL;
}

/* How many bytes of `data` the first request takes; 0 if it is not whole. Its answer is put into `out`. */
static size_t take_request(struct connection *c, char *data, size_t length) {
  char *end = memmem(data, length, "\r\n\r\n", 4);
  if (!end) return 0;
  size_t head = (size_t)(end - data) + 4, used = head, body_length = 0;
  char *body = data + head, *joined = NULL;
  char *lines = memchr(data, '\n', head);
  lines++;
  const char *declared = header(lines, end + 2, "content-length");
  const char *coding = header(lines, end + 2, "transfer-encoding");
  const char *persistence = header(lines, end + 2, "connection");
  if (persistence && !strncasecmp(persistence, "close", 5)) c->closing = 1;
  if (coding && !strncasecmp(coding, "chunked", 7)) {
    joined = malloc(length);
    char *at = body;
    for (;;) {
      char *line = memmem(at, (size_t)(data + length - at), "\r\n", 2);
      if (!line) goto incomplete;
      size_t size = strtoul(at, NULL, 16);
      at = line + 2;
      if ((size_t)(data + length - at) < size + 2) goto incomplete;
      memcpy(joined + body_length, at, size);
      body_length += size;
      at += size + 2;
      if (!size) break;
    }
    body = joined;
    used = (size_t)(at - data);
  } else if (declared) {
    body_length = strtoul(declared, NULL, 10);
    if (length < head + body_length) return 0;
    used = head + body_length;
  }
  char *target = memchr(data, ' ', head);
  size_t target_length = strcspn(target + 1, " ") + 1;
  char *slow, *quick;
  if (data[0] == 'P') {
    if (memmem(target, target_length, "204", 3)) answer(c, 204, NULL, 0);
    else answer(c, 200, body, body_length);
    if (delay > 0 && body_length > 4 && !memcmp(body, "{\"q\"", 4)) {
      c->waiting = 1;
      c->due = now() + delay;
      c->next = NULL;
      if (last_waiting) last_waiting->next = c; else first_waiting = c;
      last_waiting = c;
    }
  } else if ((slow = memmem(target, target_length, "/q/", 3))) answer_numbered(c, 'q', atol(slow + 3));
  else if ((quick = memmem(target, target_length, "/z/", 3))) answer_numbered(c, 'z', atol(quick + 3));
  else if (memmem(target, target_length, "10m", 3)) answer(c, 200, document_10m, length_10m);
  else if (memmem(target, target_length, "100k", 4)) answer(c, 200, document_100k, length_100k);
  else answer(c, 200, document_1k, length_1k);
  free(joined);
  return used;
incomplete:
  free(joined);
  return 0;
}

static int send_out(struct connection *c) {
  while (c->out_sent < c->out_length) {
    ssize_t sent = send(c->fd, c->out + c->out_sent, c->out_length - c->out_sent, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN ? 1 : -1;
    c->out_sent += (size_t)sent;
  }
  c->out_length = c->out_sent = 0;
  return 0;
}

static void release(struct connection *c) {
  if (c->waiting) {
    struct connection *before = NULL;
    for (struct connection *w = first_waiting; w; before = w, w = w->next)
      if (w == c) {
        if (before) before->next = c->next; else first_waiting = c->next;
        if (last_waiting == c) last_waiting = before;
        break;
      }
  }
  close(c->fd);
  free(c->in);
  free(c->out);
  free(c);
}

/* Answer what can be answered; 0 if the connection is no more. */
static int turn(struct connection *c, int poll) {
  size_t used = 0, one;
  while (!c->waiting && used < c->in_length && (one = take_request(c, c->in + used, c->in_length - used))) used += one;
  if (used) {
    memmove(c->in, c->in + used, c->in_length - used);
    c->in_length -= used;
  }
  if (c->waiting || !c->out_length) return 1;
  int more = send_out(c);
  if (more < 0 || (!more && c->closing)) {
    release(c);
    return 0;
  }
  if (more != c->asked_to_write) {
    struct epoll_event event = {.events = EPOLLIN | (more ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poll, EPOLL_CTL_MOD, c->fd, &event);
    c->asked_to_write = more;
  }
  return 1;
}

int main(int count, char **words) {
  signal(SIGPIPE, SIG_IGN);
  document_1k = document_of(1024, &length_1k);
  document_100k = document_of(102400, &length_100k);
  document_10m = document_of(10485760, &length_10m);
  delay = count > 2 ? atof(words[2]) / 1000 : 0;
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)(count > 1 ? atoi(words[1]) : 0)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) {
    perror("responder");
    return 1;
  }
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  fcntl(listener, F_SETFL, O_NONBLOCK);
  static char is_listener, is_input;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = &is_listener};
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  event.data.ptr = &is_input;
  epoll_ctl(poll, EPOLL_CTL_ADD, 0, &event);
  struct epoll_event events[256];
  for (;;) {
    int wait = -1;
    if (first_waiting) {
      double left = first_waiting->due - now();
      wait = left > 0 ? (int)(left * 1000) + 1 : 0;
    }
    int ready = epoll_wait(poll, events, 256, wait);
    for (int i = 0; i < ready; i++) {
      if (events[i].data.ptr == &is_input) {
        char byte;
        if (read(0, &byte, 1) <= 0) return 0;
        continue;
      }
      if (events[i].data.ptr == &is_listener) {
        int fd;
        while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          struct connection *c = calloc(1, sizeof *c);
          c->fd = fd;
          event.events = EPOLLIN;
          event.data.ptr = c;
          epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
        }
        continue;
      }
      struct connection *c = events[i].data.ptr;
      int gone = (events[i].events & (EPOLLHUP | EPOLLERR)) != 0;
      if (!gone && events[i].events & EPOLLIN)
        for (;;) {
          reserve(&c->in, &c->in_room, c->in_length + 65536);
          ssize_t got = recv(c->fd, c->in + c->in_length, c->in_room - c->in_length, 0);
          if (got == 0 || (got < 0 && errno != EAGAIN)) gone = 1;
          if (got <= 0) break;
          c->in_length += (size_t)got;
        }
      if (gone) release(c);
      else turn(c, poll);
    }
    double at = first_waiting ? now() : 0;
    while (first_waiting && first_waiting->due <= at) {
      struct connection *c = first_waiting;
      first_waiting = c->next;
      if (!first_waiting) last_waiting = NULL;
      c->waiting = 0;
      turn(c, poll);
    }
  }
}
