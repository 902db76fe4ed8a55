"""A person at a browser: Debian's Chromium, without a screen."""
import contextlib
import os
import pathlib

from selenium import webdriver
from selenium.common import exceptions
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from cloud import wait

HORIZON = 'http://127.0.0.1:8080'
WIDE, PHONE = (1400, 1000), (420, 900)
PICTURES = os.environ.get('RATOON_PICTURES')  # a folder: `make screenshots` keeps there what the tests have seen


class Browser:
    def __init__(self, size=WIDE):
        options = webdriver.ChromeOptions()
        options.binary_location = '/usr/bin/chromium'
        for flag in ('headless=new', 'no-sandbox', 'disable-gpu', 'disable-dev-shm-usage', f'window-size={size[0]},{size[1]}',
                     'force-prefers-reduced-motion', 'no-proxy-server', 'hide-scrollbars'):
            options.add_argument(f'--{flag}')
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
        self.driver = webdriver.Chrome(service=webdriver.chrome.service.Service('/usr/bin/chromedriver'), options=options)
        self.driver.set_page_load_timeout(90)

    def end(self):
        self.driver.quit()

    # Going somewhere

    def go(self, path):
        self.driver.get(HORIZON + path)
        return self

    def log_in(self, person):
        self.go('/auth/login/')
        self.type('#id_username', person.user)
        self.type('#id_password', person.password)
        self.press('#loginBtn')
        wait(f'{person.user} to be logged in', lambda: '/auth/login' not in self.driver.current_url, 90)
        return self

    # Looking

    def find(self, selector, text=None, within=None):
        """What can be seen, by CSS, and by its text if that is given; an empty list if there is none."""
        with contextlib.suppress(exceptions.StaleElementReferenceException):  # the page is being drawn anew
            found = (within or self.driver).find_elements(By.CSS_SELECTOR, selector)
            return [one for one in found if one.is_displayed() and (text is None or text in one.text)]
        return []

    def see(self, selector, text=None, patience=60):
        """Waits until it can be seen."""
        return wait(f'"{text or ""}" in {selector} at {self.driver.current_url}', lambda: self.find(selector, text), patience)[0]

    def text(self, selector='body'):
        return self.driver.find_element(By.CSS_SELECTOR, selector).text

    def complaints(self):
        """What the page has said to the console about itself; not what others' pages say."""
        return [entry['message'] for entry in self.driver.get_log('browser') if 'server_snapshots' in entry['message']]

    # Doing

    def type(self, selector, words):
        field = self.see(selector)
        field.clear()
        field.send_keys(words)

    def choose(self, selector, value):
        Select(self.driver.find_element(By.CSS_SELECTOR, selector)).select_by_value(value)

    def press(self, selector, text=None, within=None):
        def pressed():
            with contextlib.suppress(exceptions.StaleElementReferenceException, exceptions.ElementClickInterceptedException,
                                     exceptions.ElementNotInteractableException):
                for one in self.find(selector, text, within)[:1]:
                    one.click()
                    return True
        wait(f'"{text or ""}" in {selector} to be pressed at {self.driver.current_url}', pressed, 60)

    def point_at(self, element):
        ActionChains(self.driver).move_to_element(element).perform()

    def size(self, size):
        self.driver.set_window_size(*size)

    def picture(self, name):
        """For the documentation."""
        if PICTURES:
            pathlib.Path(PICTURES).mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(f'{PICTURES}/{name}.png')
