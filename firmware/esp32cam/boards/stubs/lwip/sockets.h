#pragma once

// lwIP offers the BSD names, which this machine has as well.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
