#!/usr/bin/env ruby
# frozen_string_literal: true

# Makes a course, follows its generation, and saves it as Markdown and HTML in the current folder:
#   COURSEWRIGHT_URL=http://127.0.0.1:8080 COURSEWRIGHT_TOKEN=... ruby create_course.rb "Introduction to Beekeeping"
# Needs Ruby 3.0 or newer and nothing else.

require "json"
require "net/http"

# What the service refused. The code is stable, the message is for people.
class ApiError < StandardError
  attr_reader :code, :details, :retry_after

  def initialize(error, retry_after)
    super("#{error["code"]}: #{error["message"]} (request #{error["requestId"]})")
    @code = error["code"]
    @details = error["details"]
    @retry_after = retry_after
  end
end

# The plain JSON face of the API.
class Coursewright
  HEADERS = { "Content-Type" => "application/json", "Accept-Language" => "en" }.freeze

  def initialize(url, token)
    @api = "#{url.chomp("/")}/api/v1/"
    @headers = HEADERS.merge("Authorization" => "Bearer #{token}")
  end

  def query(procedure, **parameters)
    uri = URI(@api + procedure)
    uri.query = URI.encode_www_form(parameters) unless parameters.empty?
    read(Net::HTTP.get_response(uri, @headers))
  end

  def mutate(procedure, **input)
    read(Net::HTTP.post(URI(@api + procedure), JSON.generate(input), @headers))
  end

  private

  def read(response)
    answer = JSON.parse(response.body)
    return answer if response.is_a?(Net::HTTPSuccess)

    raise ApiError.new(answer, (response["Retry-After"] || 30).to_i)
  end
end

# Starts the generation, as soon as there is room for it. The key makes it safe to ask twice.
def start(coursewright, course_id)
  coursewright.mutate("generation.initiate", courseId: course_id, idempotencyKey: course_id)
rescue ApiError => e
  raise unless e.code == "CONCURRENCY_LIMIT"

  sleep e.retry_after
  retry
end

# Waits for the end, and says what happens until then.
def follow(coursewright, course_id)
  said = nil
  loop do
    state = coursewright.query("generation.getStatus", courseId: course_id)
    progress, phase, done, all = state.values_at("progress", "phase", "lessonsCompleted", "lessonsTotal")
    line = "#{progress} % #{phase}, #{done}/#{all} lessons"
    puts line unless line == said
    said = line
    return state if %w[completed failed cancelled].include?(state["status"])

    sleep 1
  end
end

title = ARGV.first or abort "usage: create_course.rb TITLE"
url = ENV.fetch("COURSEWRIGHT_URL", "http://127.0.0.1:8080")
coursewright = Coursewright.new(url, ENV.fetch("COURSEWRIGHT_TOKEN", ""))

begin
  course_id = coursewright.mutate("courses.create", title: title)["id"]
  start(coursewright, course_id)
  state = follow(coursewright, course_id)
  abort "#{state["status"]}: #{state.dig("error", "message")}" unless state["status"] == "completed"

  structure = coursewright.query("generation.getResult", courseId: course_id)["structure"]
  puts structure["course_title"]
  structure["sections"].each do |section|
    puts "#{section["section_number"]}. #{section["section_title"]}, #{section["lessons"].size} lessons"
  end

  %w[markdown html].each do |format|
    file = coursewright.query("courses.export", courseId: course_id, format: format)
    File.write(file["fileName"], file["content"])
    puts "saved #{file["fileName"]}"
  end
rescue ApiError, SystemCallError => e
  abort e.message
end
