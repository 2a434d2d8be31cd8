//! The hooks of EMQX, VerneMQ and RabbitMQ by their documented requests and answers, field by field.

mod emqx;
mod rabbitmq;
mod vernemq;
