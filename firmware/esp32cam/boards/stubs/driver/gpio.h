#pragma once

typedef enum { GPIO_NUM_NC = -1, GPIO_NUM_4 = 4, GPIO_NUM_13 = 13, GPIO_NUM_MAX = 40 } gpio_num_t;
