//! The promises as sentences, tried on a whole house with real servers and stand-ins over real HTTP.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod boards;
#[cfg(test)]
mod caching;
#[cfg(test)]
mod chats;
#[cfg(test)]
mod dialects;
#[cfg(test)]
mod distributed;
#[cfg(test)]
mod each_part;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod history;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod learning;
#[cfg(test)]
mod logins;
#[cfg(test)]
mod main_job;
#[cfg(test)]
mod nothing_lost;
#[cfg(test)]
mod openai_sdk;
#[cfg(test)]
mod own_providers;
#[cfg(test)]
mod people;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod signed;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod switches;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod uptime;
#[cfg(test)]
mod used;
