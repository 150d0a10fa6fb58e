"use strict";

const TEXTS = {
  en: {
    title: "Set Coursewright up",
    intro: "Make the first account. It may do everything in this installation.",
    email: "E-mail",
    password: "Password",
    hint: "12 to 128 characters; several words are best.",
    again: "The password again",
    send: "Make the account",
    next: "Sign in",
    noToken: "Open the link that the server printed when it started: this one lacks the one-time token.",
    differ: "The two passwords differ.",
    done: "The account is made; this link is used up. Sign in with the address and the password.",
    noAnswer: "The server does not answer. Try again.",
  },
  ru: {
    title: "Настройка Coursewright",
    intro: "Создайте первую учётную запись. Ей будет доступно всё в этой установке.",
    email: "Электронная почта",
    password: "Пароль",
    hint: "От 12 до 128 символов; лучше всего несколько слов.",
    again: "Пароль ещё раз",
    send: "Создать учётную запись",
    next: "Войти",
    noToken: "Откройте ссылку, которую сервер вывел при запуске: в этой нет одноразового токена.",
    differ: "Пароли не совпадают.",
    done: "Учётная запись создана, ссылка больше не действует. Войдите с этим адресом и паролем.",
    noAnswer: "Сервер не отвечает. Попробуйте ещё раз.",
  },
};

const known = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag in TEXTS);
const language = known ?? "en";
const texts = TEXTS[language];
document.documentElement.lang = language;
document.title = texts.title;
for (const element of document.querySelectorAll("[data-text]")) {
  element.textContent = texts[element.dataset.text];
}

const form = document.getElementById("form");
const send = document.getElementById("send");
const said = document.getElementById("said");
const token = new URLSearchParams(location.hash.slice(1)).get("token");
// The token is not to stay in the history.
history.replaceState(null, "", location.pathname);

function say(text, isFault) {
  said.className = isFault ? "fault" : "";
  said.textContent = text;
}

if (!token) {
  say(texts.noToken, true);
  send.disabled = true;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { email, password, again } = form.elements;
  if (password.value !== again.value) {
    say(texts.differ, true);
    again.focus();
    return;
  }
  send.disabled = true;
  say("", false);
  try {
    const answer = await fetch("/api/v1/auth.setup", {
      method: "POST",
      headers: { "content-type": "application/json", "accept-language": language },
      credentials: "omit",
      body: JSON.stringify({ token, email: email.value.trim(), password: password.value }),
    });
    if (answer.ok) {
      form.hidden = true;
      document.getElementById("next").hidden = false;
      say(texts.done, false);
      return;
    }
    const fault = await answer.json();
    say(fault.message, true);
  } catch {
    say(texts.noAnswer, true);
  }
  send.disabled = false;
});
