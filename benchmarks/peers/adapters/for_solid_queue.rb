# Solid Queue: its supervisor, with one dispatcher and P workers of T threads.
require "json"
require "yaml"
require "pg"
require "rails"
require "active_record/railtie"
require "active_job/railtie"

act, *given = ARGV
threads = act == "work" ? given[1].to_i : 1
# Rails refuses a URL whose host is the folder of a socket, so it gets each part by its name.
parts = PG::Connection.conninfo_parse(ENV.fetch("DATABASE_URL"))
  .filter_map { |part| [part[:keyword].to_sym, part[:val]] if part[:val] }.to_h
given_on = {
  username: parts[:user], **parts.slice(:host, :port, :password),
  pool: threads + 5, schema_search_path: "public"
}
ENV["DATABASE_URL"] = "postgresql:///#{parts[:dbname]}?#{URI.encode_www_form(given_on)}"
ENV["RAILS_ENV"] = "production"
require "solid_queue"

class Application < Rails::Application
  config.root = Dir.pwd
  config.load_defaults 7.1
  config.eager_load = true
  config.logger = Logger.new(IO::NULL)
  config.secret_key_base = "x" * 64
  config.active_job.queue_adapter = :solid_queue
  config.active_record.dump_schema_after_migration = false
end
Application.initialize!
SolidQueue.logger = Logger.new(IO::NULL)

class NoopJob < ActiveJob::Base
  self.logger = Logger.new(IO::NULL)

  def perform(number)
    at = Process.clock_gettime(Process::CLOCK_REALTIME)
    $stamps ||= File.open(ENV.fetch("PEER_STAMPS"), "ab").tap { |file| file.sync = true }
    $stamps.syswrite([number.to_f, at].pack("EE"))
  end
end

def now = Process.clock_gettime(Process::CLOCK_REALTIME)

case act
when "setup"
  ActiveRecord::Schema.verbose = false
  root = SolidQueue::Engine.root
  load root.join("lib/generators/solid_queue/install/templates/db/queue_schema.rb").to_s
when "enqueue"
  NoopJob.perform_later(-1)
  began = now
  given[0].to_i.times { |number| NoopJob.perform_later(number) }
  puts({ seconds: now - began }.to_json)
when "bulk"
  began = now
  (0...given[0].to_i).each_slice(1000) do |numbers|
    ActiveJob.perform_all_later(numbers.map { |number| NoopJob.new(number) })
    began = now if numbers.first.zero?
  end
  puts({ seconds: now - began }.to_json)
when "spaced"
  returned = []
  due = now
  given[0].to_i.times do |number|
    sleep([due - now, 0].max)
    NoopJob.perform_later(number)
    returned << now
    due += given[1].to_f
  end
  puts({ returned: returned }.to_json)
when "work"
  workers = { "polling_interval" => 0.1, "queues" => "*", "threads" => threads, "processes" => given[0].to_i }
  settings = { "dispatchers" => [{ "polling_interval" => 1, "batch_size" => 500 }], "workers" => [workers] }
  File.write("queue.yml", settings.to_yaml)
  SolidQueue::Supervisor.start(
    mode: "fork", config_file: "queue.yml", recurring_schedule_file: "none.yml"
  )
end
